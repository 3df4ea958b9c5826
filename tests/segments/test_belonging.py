"""Who has an address and who has which endpoints, held against applying one update after the other."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_segments.domain.belonging import Held, Owned, give_addresses, settle
from heliograph_segments.domain.endpoints import EVICTABLE_CHANNELS, EndpointUpdate
from tests.segments.builders import NOW

KEYS = ("a", "b", "c", "d")
CHANNELS = ("SMS", "EMAIL")
ADDRESSES = ("", "1", "2")

Stored = dict[str, Held]

helds = st.builds(Held, st.just(""), st.sampled_from(CHANNELS), st.sampled_from(ADDRESSES), st.booleans())
updates = st.builds(
    EndpointUpdate,
    st.sampled_from(KEYS),
    channel=st.none() | st.sampled_from(CHANNELS),
    address=st.none() | st.sampled_from(ADDRESSES),
    active=st.booleans(),
)


def alone(stored: Stored) -> Stored:
    """Return endpoints of which no two are active with one address of one channel, as the record keeps them."""
    seen: set[tuple[str, str]] = set()
    kept: Stored = {}
    for key, held in stored.items():
        place = (held.channel, held.address)
        active = held.active and not (held.address and place in seen)
        kept[key] = held._replace(active=active)
        if active:
            seen.add(place)
    return kept


def applied(stored: Stored, update: EndpointUpdate) -> Stored:
    key, before = update.endpoint_id, stored.get(update.endpoint_id, Held("", "", "", True))
    channel = before.channel if update.channel is None else update.channel
    address = before.address if update.address is None else update.address
    return {**stored, key: Held("", channel, address, update.active)}


def one_by_one(stored: Stored, given: dict[str, EndpointUpdate]) -> Stored:
    """The reference: each update takes its address from whoever has it."""
    for key, update in given.items():
        stored = applied(stored, update)
        mine = stored[key]
        for other, held in stored.items():
            same = (held.channel, held.address) == (mine.channel, mine.address)
            if other != key and same and mine.active and mine.address:
                stored[other] = held._replace(active=False)
    return stored


def holders(stored: Stored) -> list[tuple[str, str]]:
    return [(held.channel, held.address) for held in stored.values() if held.active and held.address]


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from(KEYS), helds).map(alone), st.lists(updates, max_size=4, unique_by=lambda u: u[0])
)
def test_addresses_end_where_applying_one_update_after_the_other_leaves_them(
    stored: Stored, writes: list[EndpointUpdate]
) -> None:
    given = {update.endpoint_id: update for update in writes}
    settled, deactivated = give_addresses(given, stored)
    after = dict(stored)
    for key in deactivated:
        after[key] = after[key]._replace(active=False)
    for update in settled.values():
        after = applied(after, update)
        assert len(set(holders(after))) == len(holders(after)), "no address is held twice on the way"
    assert after == one_by_one(stored, given)


def test_nothing_is_copied_where_nobody_loses() -> None:
    given = {"a": EndpointUpdate("a", channel="SMS", address="1")}
    settled, deactivated = give_addresses(given, {})
    assert settled is given
    assert deactivated == []


def owned(key: str, channel: str = "EMAIL", minutes: int = 0) -> Owned:
    return Owned(key, channel, NOW + timedelta(minutes=minutes), minutes)


def test_whoever_comes_above_the_limit_is_refused() -> None:
    people = [owned("a"), owned("b"), owned("c")]
    assert settle(people, ["c"], 3) == ([], [])
    assert settle(people, ["c"], 2) == ([], ["c"])
    assert settle(people, ["b", "c"], 2) == ([], ["c"])


def test_a_push_endpoint_takes_the_place_of_the_oldest_of_its_family() -> None:
    people = [owned("mail"), owned("old", "GCM", 1), owned("new", "APNS", 2), owned("arriving", "ADM", 3)]
    assert settle(people, ["arriving"], 3) == (["old"], [])


def test_a_push_endpoint_does_not_take_the_place_of_an_address() -> None:
    assert settle([owned("mail"), owned("push", "GCM")], ["push"], 1) == ([], ["push"])


def test_an_address_does_not_take_the_place_of_a_push_endpoint() -> None:
    assert settle([owned("push", "GCM"), owned("mail")], ["mail"], 1) == ([], ["mail"])


def test_whoever_has_more_since_before_keeps_them() -> None:
    """A limit that was lowered takes nothing away until something comes."""
    assert settle([owned("a"), owned("b"), owned("c")], [], 1) == ([], [])


@given(
    st.lists(st.sampled_from(["GCM", "APNS", "EMAIL", "SMS"]), min_size=1, max_size=8),
    st.integers(0, 8),
    st.integers(1, 8),
)
def test_the_limit_holds_and_only_push_endpoints_go(channels: list[str], before: int, limit: int) -> None:
    people = [owned(str(n), channel, n) for n, channel in enumerate(channels)]
    before = min(before, limit, len(people))
    gained = [each.key for each in people[before:]]
    evicted, refused = settle(people, gained, limit)
    assert len(people) - len(evicted) - len(refused) == min(limit, len(people))
    assert all(each.channel in EVICTABLE_CHANNELS for each in people if each.key in evicted)
    assert set(refused) <= set(gained)
    assert not set(evicted) & set(refused)
