"""What a send through a use case will look like before it starts. Pure.

The model is what messaging really does, no more and no less:

- **One queue.** All messages of a use case leave in audience order. Nobody tells messaging whose customer a recipient is, so it
  does not sort by carrier: the AT&T limit of the use case paces all of them, and recipients of all carriers count as evenly mixed.
- **Turns.** A turn is two seconds' worth of parts, or one message where that is more (0.2 parts a second: one part every five
  seconds). Its messages go at once when it begins. A message is never cut, so messages that do not fill a turn waste its rest.
- **The pace.** Parts a second are the least of what AT&T lets the use case send, what its numbers may send on this platform, and,
  where the installation has one, the account's messages a second. More numbers bring no more (S107).
- **The day.** T-Mobile counts parts of the whole brand in a US Pacific calendar day (23 to 25 hours). As carriers are not known,
  messaging lets `floor(cap / share of T-Mobile)` parts pass a day in all, holds back what would pass that, and goes on at the next
  Pacific midnight.
- **Refusals.** What passes a carrier's own allowance is accepted and then fails (S126). That happens when an audience has more
  T-Mobile customers than the share says.

A plan costs one step for each day, not for each message.
"""

from heliograph_registry10dlc.launch.audience import UNKNOWN, among_first, last_of, shared_out
from heliograph_registry10dlc.launch.carriers import Limits, limits_of
from heliograph_registry10dlc.launch.plan import CarrierOutlook, DayOutlook, Launch, Plan, plan
from heliograph_registry10dlc.launch.remarks import remarks_of
from heliograph_registry10dlc.launch.schedule import MOST_DAYS, TURN, Pace, Schedule, Stretch, lay_out, pace_of
from heliograph_registry10dlc.launch.what_if import Alternative, alternatives

__all__ = [
    "MOST_DAYS",
    "TURN",
    "UNKNOWN",
    "Alternative",
    "CarrierOutlook",
    "DayOutlook",
    "Launch",
    "Limits",
    "Pace",
    "Plan",
    "Schedule",
    "Stretch",
    "alternatives",
    "among_first",
    "last_of",
    "lay_out",
    "limits_of",
    "pace_of",
    "plan",
    "remarks_of",
    "shared_out",
]
