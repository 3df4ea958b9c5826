"""The window of the channel SMPP: full, shared, in any order, and at a rate."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_channel_smpp.statuses import Status
from heliograph_channels import Accepted, RejectReason, Unknown
from tests.plugins.smpp_sender import sender_of, sms
from tests.plugins.smpp_smsc import Smsc, Submit


async def test_a_thousand_messages_go_through_a_window_of_fifty() -> None:
    async def a_turn_later(submit: Submit) -> None:
        await asyncio.sleep(0)
        submit.answer()

    async with Smsc(a_turn_later, window=50).running() as smsc, sender_of(smsc, window=50) as sender:
        batches = [[sms() for _ in range(100)] for _ in range(10)]
        answers = await asyncio.gather(*(sender.send_batch(batch) for batch in batches))
        ids = [result.provider_message_id for results in answers for result in results if isinstance(result, Accepted)]
        assert len(set(ids)) == 1000
        assert smsc.sessions[0].most_waiting == 50


async def test_answers_in_any_order_find_their_messages() -> None:
    held: list[Submit] = []

    async def backwards(submit: Submit) -> None:
        held.append(submit)
        if len(held) == 10:
            for one_held in reversed(held):
                one_held.answer(id=one_held.message.short_message.decode())

    async with Smsc(backwards).running() as smsc, sender_of(smsc) as sender:
        results = await sender.send_batch([sms(f"text {number}") for number in range(10)])
    assert results == [Accepted(f"text {number}") for number in range(10)]


@settings(max_examples=15, deadline=None)
@given(
    window=st.integers(1, 7),
    connections=st.integers(1, 3),
    choices=st.lists(st.sampled_from(["take", "later", "throttle", "refuse", "drop", "silence"]), max_size=40),
)
def test_the_window_is_never_exceeded_and_every_message_has_one_fate(
    window: int, connections: int, choices: list[str]
) -> None:
    """Whatever the SMSC does; it breaks off and says so when the window is exceeded (`Smsc.running` asserts it)."""

    async def mixed(submit: Submit) -> None:
        choice = choices[submit.number] if submit.number < len(choices) else "take"
        match choice:
            case "later":
                for _ in range(submit.number % 5):
                    await asyncio.sleep(0)
                submit.answer()
            case "throttle":
                submit.answer(Status.ESME_RTHROTTLED)
            case "refuse":
                submit.answer(Status.ESME_RINVDSTADR)
            case "drop":
                submit.session.drop()
            case "silence":
                pass
            case _:
                submit.answer()

    async def play() -> None:
        changes: dict[str, Any] = {"window": window, "connections": connections, "response_timeout": 0.05}
        async with (
            Smsc(mixed, window=window).running() as smsc,
            sender_of(smsc, throttle_seconds=0.01, reconnect_seconds=0.1, **changes) as sender,
        ):
            results = await asyncio.wait_for(sender.send_batch([sms(f"{n}") for n in range(50)]), 20)
            seen = [submit.message.short_message.decode() for submit in smsc.submits]
            assert len(seen) == len(set(seen)), "nothing is sent twice"
            for number, result in enumerate(results):
                if isinstance(result, Accepted | Unknown):
                    assert isinstance(result, Unknown) or str(number) in seen
                elif result.reason is RejectReason.UNAVAILABLE:  # type: ignore[union-attr]
                    assert str(number) not in seen, "not taken means not written"

    asyncio.run(play())


async def test_a_rate_is_kept() -> None:
    loop = asyncio.get_running_loop()
    async with Smsc(window=100).running() as smsc, sender_of(smsc, window=100, rate=100) as sender:
        await smsc.bound_session()
        begin = loop.time()
        results = await sender.send_batch([sms() for _ in range(40)])
        took = loop.time() - begin
    assert all(isinstance(result, Accepted) for result in results)
    assert took > 0.35


async def test_several_connections_share_the_work() -> None:
    held: list[Submit] = []

    async def together(submit: Submit) -> None:
        held.append(submit)
        if len(held) == 30:
            for one_held in held:
                one_held.answer()

    async with Smsc(together, window=10).running() as smsc, sender_of(smsc, connections=3) as sender:
        await smsc.until(lambda: len(smsc.bound) == 3)
        results = await asyncio.wait_for(sender.send_batch([sms() for _ in range(30)]), 10)
    assert all(isinstance(result, Accepted) for result in results)
    assert {submit.session.number for submit in held} == {0, 1, 2}
