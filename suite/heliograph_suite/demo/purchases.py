"""The demonstration's data: 69,659 real purchases, and what becomes of them as endpoints and events. Pure but for reading.

People are made from customer ids alone, so that every run, and every reader, gets the same ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files

_FIRST_NAMES = tuple(
    "Ada Ben Clara Dan Ella Finn Grace Hugo Iris Jack Kira Leo Mia Noah Olga Paul Quinn Rosa Sam Tara Uma Vic Wendy Xena "
    "Yuri Zoe".split()
)
_ZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
_HEADER = (
    "Id",
    "ChannelType",
    "Address",
    "User.UserId",
    "User.UserAttributes.FirstName",
    "User.UserAttributes.Tier",
    "Metrics.Orders",
    "Metrics.Spend",
    "Metrics.Discs",
    "Demographic.Timezone",
    "Location.Country",
)


@dataclass(frozen=True)
class Purchase:
    """One row of the file. `day` is shifted so that the last purchase of all is yesterday."""

    row: int
    customer: str
    day: date
    discs: int
    dollars: float

    @property
    def instant(self) -> datetime:
        """Noon UTC of its day: the file knows days only."""
        return datetime.combine(self.day, time(12), UTC)


@dataclass(frozen=True)
class Customer:
    """What the shop knows of a customer: counts, and dollars rounded to cents."""

    id: str
    orders: int
    discs: int
    dollars: float

    @property
    def first_name(self) -> str:
        """A name, always the same for the same customer."""
        return _FIRST_NAMES[int(self.id) % len(_FIRST_NAMES)]

    @property
    def email(self) -> str:
        """An address that can belong to nobody."""
        return f"customer{self.id}@example.com"

    @property
    def phone(self) -> str:
        """A number of the area code 555, which belongs to nobody."""
        return f"+1555{2_000_000 + int(self.id):07d}"

    @property
    def tier(self) -> str:
        """A band of spending."""
        return "gold" if self.dollars >= 250 else "silver" if self.dollars >= 75 else "bronze"


def read_purchases(today: date) -> list[Purchase]:
    """Read the file, shifting all days by the same number so that the last one is the day before `today`."""
    text = files("heliograph_suite").joinpath("data/cdnow.txt").read_text(encoding="ascii")
    rows = [line.split() for line in text.splitlines()[1:] if line.strip()]
    days = [datetime.strptime(row[1], "%Y%m%d").replace(tzinfo=UTC).date() for row in rows]
    shift = today - timedelta(days=1) - max(days)
    return [
        Purchase(number, row[0], day + shift, int(row[2]), float(row[3]))
        for number, (row, day) in enumerate(zip(rows, days, strict=True))
    ]


def customers_of(purchases: Iterable[Purchase]) -> list[Customer]:
    """Add up what each customer bought, in the order of first purchase in the file."""
    sums: dict[str, tuple[int, int, float]] = {}
    for purchase in purchases:
        orders, discs, dollars = sums.get(purchase.customer, (0, 0, 0.0))
        sums[purchase.customer] = (orders + 1, discs + purchase.discs, dollars + purchase.dollars)
    return [Customer(id, orders, discs, round(dollars, 2)) for id, (orders, discs, dollars) in sums.items()]


def email_endpoint(customer: str) -> str:
    """Return the id of a customer's e-mail endpoint."""
    return f"email-{customer}"


def sms_endpoint(customer: str) -> str:
    """Return the id of a customer's SMS endpoint."""
    return f"sms-{customer}"


def endpoints_csv(customers: Sequence[Customer]) -> Iterator[str]:
    """Write two endpoints for each customer as the CSV that an import job takes (pinpoint-1 3.5)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    for customer in customers:
        shared = (
            customer.id,
            customer.first_name,
            customer.tier,
            customer.orders,
            customer.dollars,
            customer.discs,
            _ZONES[int(customer.id) % len(_ZONES)],
            "US",
        )
        writer.writerow((email_endpoint(customer.id), "EMAIL", customer.email, *shared))
        writer.writerow((sms_endpoint(customer.id), "SMS", customer.phone, *shared))
        if buffer.tell() > 1 << 20:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
