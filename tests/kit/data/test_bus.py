import asyncio
from datetime import timedelta

import nats.errors
import nats.js.errors
import pytest
from nats.js.api import ConsumerConfig, StreamConfig

from heliograph_kit.bus import Bus, BusMessage, Published, PublishRefused
from heliograph_kit.embedded import EmbeddedNats, free_port
from heliograph_kit.errors import Unavailable
from heliograph_kit.streams import STREAMS
from heliograph_kit.testing import eventually
from tests.kit.data.building import pending, publish


async def test_streams_are_declared_as_designed_and_declaring_again_changes_nothing(bus: Bus) -> None:
    await bus.ensure_streams()
    for name, stream in STREAMS.items():
        config = (await bus.jetstream.stream_info(name)).config
        assert config.subjects == list(stream.subjects)
        assert config.retention == ("workqueue" if stream.work_queue else "limits")
        assert config.storage == "file"
        assert config.duplicate_window == 120


async def test_a_stream_of_an_older_version_gets_the_new_settings(bus: Bus) -> None:
    await bus.jetstream.delete_stream("DEAD")
    await bus.jetstream.add_stream(StreamConfig(name="DEAD", subjects=["dead.x"], max_age=60))
    await bus.ensure_streams("DEAD")
    assert (await bus.jetstream.stream_info("DEAD")).config.subjects == ["dead.*"]


async def test_the_same_id_is_stored_once_within_the_window(bus: Bus) -> None:
    first = await bus.publish("dispatch.campaign.shop", b"1", id="a", type="t")
    second = await bus.publish("dispatch.campaign.shop", b"1", id="a", type="t")
    assert not first.duplicate
    assert second == Published("DISPATCH", first.sequence, duplicate=True)
    assert await pending(bus) == 1


async def test_many_are_published_at_once_and_one_bad_does_not_hurt_the_others(bus: Bus) -> None:
    subject = "dispatch.campaign.shop"
    messages = [BusMessage(subject, b"x", f"m{n}", "t") for n in range(50)]
    messages[7] = BusMessage(subject, b"x" * 9_000_000, "m7", "t")
    outcomes = await bus.publish_many(messages, in_flight=16)
    assert isinstance(outcomes[7], PublishRefused)
    assert sum(isinstance(outcome, Published) for outcome in outcomes) == 49


async def test_publishing_to_a_stream_that_was_deleted_declares_it_again(bus: Bus) -> None:
    await bus.jetstream.delete_stream("DISPATCH")
    await publish(bus)
    assert await pending(bus) == 1


async def test_nobody_storing_a_subject_is_an_outage_after_the_time_given(bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await bus.publish("nowhere.at.all", b"", id="a", type="t", within=timedelta(milliseconds=300))


async def test_a_publish_while_the_server_is_dead_is_tried_again_under_the_same_id(
    bus: Bus, nats_server: EmbeddedNats
) -> None:
    await publish(bus)
    nats_server.kill()
    waiting = asyncio.create_task(
        bus.publish("dispatch.campaign.shop", b"", id="late", type="t", within=timedelta(seconds=20))
    )
    await asyncio.sleep(0.3)
    assert not waiting.done()
    nats_server.start()
    await waiting
    await eventually(lambda: bus.connected)
    again = await bus.publish("dispatch.campaign.shop", b"", id="late", type="t")
    assert again.duplicate
    assert await pending(bus) == 2


async def test_the_connection_never_gives_up_and_notices_a_dead_link_early(bus: Bus) -> None:
    assert bus.client.options["max_reconnect_attempts"] == -1
    assert bus.client.options["ping_interval"] == 20
    await bus.ping()


async def test_readiness_sees_a_dead_server_and_its_return(bus: Bus, nats_server: EmbeddedNats) -> None:
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    with pytest.raises(Unavailable):
        await bus.ping()
    nats_server.start()
    await eventually(lambda: bus.connected)
    await bus.ping()


async def test_no_server_at_the_first_connect_is_unavailable_in_the_time_given() -> None:
    with pytest.raises(Unavailable):
        await Bus.open(f"nats://127.0.0.1:{free_port()}", name="tests", first_connect=timedelta(seconds=0.5))


async def test_a_wrong_token_is_refused(nats_server: EmbeddedNats) -> None:
    wrong = nats_server.start().replace("//", "//x")
    with pytest.raises(Unavailable):
        await Bus.open(wrong, name="tests", first_connect=timedelta(seconds=1))


async def test_a_question_gets_its_answer_and_a_failing_answer_is_unavailable(bus: Bus) -> None:
    async def answer(payload: bytes) -> bytes:
        if payload == b"bad":
            raise ZeroDivisionError
        return payload.upper()

    responder = await bus.respond("applied.tests", answer, queue="tests")
    assert await bus.request("applied.tests", b"abc") == b"ABC"
    with pytest.raises(Unavailable):
        await bus.request("applied.tests", b"bad")
    await responder.close()
    await bus.client.flush()
    with pytest.raises(Unavailable):
        await bus.request("applied.tests", b"abc", timeout=timedelta(milliseconds=300))


async def test_a_work_queue_refuses_two_consumers_of_one_subject(bus: Bus) -> None:
    await bus.ensure_consumer("DISPATCH", ConsumerConfig(durable_name="a", filter_subject="dispatch.campaign.*"))
    await bus.ensure_consumer("DISPATCH", ConsumerConfig(durable_name="b", filter_subject="dispatch.journey.*"))
    with pytest.raises(nats.js.errors.Error):
        await bus.ensure_consumer("DISPATCH", ConsumerConfig(durable_name="c", filter_subject="dispatch.*.*"))
