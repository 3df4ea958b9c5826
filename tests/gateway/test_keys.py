"""The keys of links at the edge: asked for when one is new, not each time somebody forges, and kept while messaging is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date

import pytest

from heliograph_gateway.domain.tokens import LinkKind
from heliograph_gateway.errors import MessagingAway, NothingHere
from heliograph_gateway.service.keys import AGAIN_SECONDS, Keys
from heliograph_messaging.domain.tracking import LinkKind as Signed
from heliograph_messaging.domain.tracking import Signer

pytestmark = pytest.mark.unit
TODAY = date(2026, 3, 4)
OLD, NEW = bytes(32), bytes(range(32))
OPENS = frozenset({LinkKind.OPEN})


class Source:
    """Knows keys, unless it is away."""

    def __init__(self) -> None:
        self.known: Sequence[bytes] = ()
        self.asked = 0

    async def keys(self) -> Sequence[bytes]:
        self.asked += 1
        if not self.known:
            raise MessagingAway
        return self.known


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def keys(source: Source, hand: Hand) -> Keys:
    return Keys(source, lambda: TODAY, monotonic=hand)


def a_token(key: bytes) -> str:
    stamp = Signer(key, "", "shop", today=TODAY, click_days=1).stamp(Signed.OPEN)
    return stamp.url(bytes(16)).removeprefix("/o/").removesuffix(".gif")


async def test_nobody_can_tell_before_there_are_keys_and_messaging_is_not_asked_each_time(
    source: Source, hand: Hand, keys: Keys
) -> None:
    for _ in range(10):
        with pytest.raises(MessagingAway):
            await keys.link(a_token(OLD), OPENS)
    assert source.asked == 1
    source.known = [OLD]
    hand.at += AGAIN_SECONDS
    assert (await keys.link(a_token(OLD), OPENS)).kind is LinkKind.OPEN
    assert source.asked == 2


async def test_a_key_that_is_new_is_asked_for_and_forged_tokens_do_not_make_us_ask(
    source: Source, hand: Hand, keys: Keys
) -> None:
    source.known = [OLD]
    await keys.link(a_token(OLD), OPENS)
    source.known = [NEW, OLD]
    forged = [a_token(bytes([number]) * 32) for number in range(1, 60)]
    found = await asyncio.gather(*(keys.link(token, OPENS) for token in forged), return_exceptions=True)
    assert {type(one) for one in found} == {NothingHere}
    assert source.asked == 1, "a second has not passed"
    hand.at += AGAIN_SECONDS
    assert (await keys.link(a_token(NEW), OPENS)).kind is LinkKind.OPEN
    assert source.asked == 2


async def test_who_waits_for_an_answer_does_not_ask_again(source: Source, hand: Hand) -> None:
    class Slow(Source):
        async def keys(self) -> Sequence[bytes]:
            self.asked += 1
            await asyncio.sleep(0)
            hand.at += 10
            raise MessagingAway

    slow = Slow()
    keys = Keys(slow, lambda: TODAY, monotonic=hand)
    found = await asyncio.gather(*(keys.link(a_token(OLD), OPENS) for _ in range(20)), return_exceptions=True)
    assert {type(one) for one in found} == {MessagingAway}
    assert slow.asked == 1


async def test_an_open_is_judged_at_once_by_what_is_known(source: Source, keys: Keys) -> None:
    with pytest.raises(MessagingAway):
        keys.known(a_token(OLD), OPENS)
    source.known = [OLD]
    await keys.link(a_token(OLD), OPENS)
    assert keys.known(a_token(OLD), OPENS).kind is LinkKind.OPEN
    with pytest.raises(NothingHere):
        keys.known(a_token(NEW), OPENS)
    assert source.asked == 1


async def test_what_is_no_token_at_all_is_told_without_any_key(source: Source, keys: Keys) -> None:
    for text in ("", "x", "AAAA", "a b", "A" * 5000):
        with pytest.raises(NothingHere):
            await keys.link(text, OPENS)
    assert source.asked == 0


async def test_keys_are_kept_while_messaging_is_away(source: Source, hand: Hand, keys: Keys) -> None:
    source.known = [OLD]
    await keys.link(a_token(OLD), OPENS)
    source.known = ()
    hand.at += 3600
    with pytest.raises(NothingHere):
        await keys.link(a_token(NEW), OPENS)
    assert (await keys.link(a_token(OLD), OPENS)).kind is LinkKind.OPEN
