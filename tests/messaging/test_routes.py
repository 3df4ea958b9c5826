"""Several providers of one channel: set up by calls, tried in order, and never asked twice for one message."""

from __future__ import annotations

import itertools

import grpc
import pytest
from google.protobuf import field_mask_pb2, json_format
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, dispatch_pb2
from heliograph_channels import Accepted, OutgoingMessage, Rejected, RejectReason, SendResult
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_messaging.pipeline.lanes import Lane, Lanes, order
from heliograph_messaging.service.routes import MAX_PRIORITY, MAX_ROUTES
from tests.messaging.conftest import PARENT, Service, Started, a_batch
from tests.messaging.scripted import ScriptedChannel

ROUTE = f"{PARENT}/channels/EMAIL/routes/spare"
integration = pytest.mark.integration


def mails(count: int) -> list[str]:
    return [f"p{index}@example.com" for index in range(count)]


def away(message: OutgoingMessage) -> SendResult:
    return Rejected(RejectReason.UNAVAILABLE, retryable=True)


@integration
async def test_a_route_is_set_up_changed_listed_and_deleted(service: Service) -> None:
    await service.set_up("EMAIL")
    made = await service.add_route("EMAIL", "spare", password="hunter2-hunter2", host="a")
    assert (made.name, made.provider, made.priority, made.enabled) == (ROUTE, "second", 100, True)
    assert list(made.secret_names) == ["password"]
    assert "password" not in made.settings
    changed = await service.channels.UpdateRoute(
        channels_pb2.UpdateRouteRequest(
            route=channels_pb2.Route(name=ROUTE, priority=7, enabled=False),
            update_mask=field_mask_pb2.FieldMask(paths=["priority", "enabled"]),
        )
    )
    assert (changed.priority, changed.enabled, list(changed.secret_names)) == (7, False, ["password"])
    assert changed.version == made.version + 1
    await service.add_route("EMAIL", "first", priority=1)
    listed = await service.channels.ListRoutes(channels_pb2.ListRoutesRequest(parent=f"{PARENT}/channels/EMAIL"))
    assert [route.name.rpartition("/")[2] for route in listed.routes] == ["first", "spare"]
    assert await service.channels.DeleteRoute(channels_pb2.DeleteRouteRequest(name=ROUTE)) == changed
    for call in (
        service.channels.GetRoute(channels_pb2.GetRouteRequest(name=ROUTE)),
        service.channels.DeleteRoute(channels_pb2.DeleteRouteRequest(name=ROUTE)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.NOT_FOUND, "ROUTE_NOT_FOUND")
    again = await service.add_route("EMAIL", "spare")
    assert again.version > changed.version


@integration
@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"name": f"{PARENT}/channels/EMAIL/routes/No"}, "route.name", "INVALID_ARGUMENT"),
        ({"name": f"{PARENT}/channels/EMAIL/routes/{'a' * 64}"}, "route.name", "INVALID_ARGUMENT"),
        ({"name": "routes/spare"}, "route.name", "INVALID_NAME"),
        ({"priority": 0}, "route.priority", "INVALID_ARGUMENT"),
        ({"priority": MAX_PRIORITY + 1}, "route.priority", "INVALID_ARGUMENT"),
        ({"provider": "nobody"}, "route.provider", "PROVIDER_UNKNOWN"),
        ({"settings": {"port": 0}}, "route.settings.port", "CHANNEL_SETTINGS_INVALID"),
    ],
)
async def test_a_bad_route_is_refused_with_its_field(
    service: Service, change: dict[str, object], field: str, reason: str
) -> None:
    await service.set_up("EMAIL")
    route = {"name": ROUTE, "provider": "second", **change}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channels.UpdateRoute(
            channels_pb2.UpdateRouteRequest(route=json_format.ParseDict(route, channels_pb2.Route()))
        )
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [name for name, _ in violations_of(caught.value)] == [field]


@integration
async def test_the_last_route_fits_and_the_next_does_not_nor_one_of_a_channel_that_is_not_set_up(
    service: Service,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.add_route("EMAIL", "spare")
    assert reason_of(caught.value) == "CHANNEL_NOT_FOUND"
    await service.set_up("EMAIL")
    for number in range(MAX_ROUTES):
        await service.add_route("EMAIL", f"r{number}", priority=MAX_PRIORITY)
    await service.add_route("EMAIL", "r0")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.add_route("EMAIL", "more")
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_ROUTES")


@integration
async def test_another_provider_takes_over_from_one_that_is_away_and_gives_back_when_it_returns(
    start: Started,
) -> None:
    service = await start(breaker_pause_seconds=0.5, campaign_concurrency=1)
    await service.set_up("EMAIL")
    await service.add_route("EMAIL", "spare")
    service.scripted.answer = away
    await service.dispatch(a_batch(mails(15)))
    assert (await service.done(15)).accepted_count == 15
    # Both chunks were under way when the first answer came; nobody is asked again after that.
    assert len(service.scripted.calls) <= 2
    assert len(service.second.sent) == 15
    assert {row.provider for row in await service.rows()} == {"second"}
    service.scripted.answer = lambda message: Accepted("back")
    numbers = itertools.count(2)

    async def returned() -> bool:
        run = f"run{next(numbers)}"
        await service.dispatch(a_batch(mails(1), run_id=run))
        await service.done(1, run)
        return (await service.rows(run))[0].provider == "scripted"

    await eventually(returned)


@integration
async def test_a_route_that_is_switched_off_is_not_used(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.add_route("EMAIL", "spare")
    await service.channels.UpdateRoute(
        channels_pb2.UpdateRouteRequest(route=channels_pb2.Route(name=ROUTE, enabled=False))
    )
    service.scripted.answer = away
    await service.dispatch(a_batch(mails(1)))
    assert (await service.done(1)).failed_count == 1
    assert not service.second.calls


@integration
async def test_what_was_handed_to_one_provider_is_never_handed_to_another_after_a_crash(start: Started) -> None:
    service = await start()
    await service.set_up("EMAIL", idempotent=True)
    service.scripted.hang = True
    await service.dispatch(a_batch(mails(5)))
    await eventually(lambda: service.scripted.calls)
    await service.channels.UpdateChannel(
        channels_pb2.UpdateChannelRequest(
            channel=channels_pb2.Channel(name=f"{PARENT}/channels/EMAIL", provider="second", enabled=True)
        )
    )
    # As a worker that was killed leaves it: an intent, and a lease that ran out.
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text("UPDATE messaging.batches SET lease_token = lease_token + 1, lease_until = now()"))
    service.scripted.release.set()
    status = await service.done(5, within=20)
    assert status.in_doubt_count == 5
    assert not service.second.calls


@integration
async def test_a_channel_tells_how_each_of_its_providers_is(start: Started) -> None:
    service = await start(breaker_threshold=1, breaker_pause_seconds=30)
    await service.set_up("EMAIL")
    await service.add_route("EMAIL", "spare")
    service.scripted.answer = away
    await service.dispatch(a_batch(mails(1), message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL))
    assert (await service.done(1)).accepted_count == 1
    answer = await service.channels.CheckChannel(channels_pb2.CheckChannelRequest(name=f"{PARENT}/channels/EMAIL"))
    assert [(one.route, one.provider, one.ok) for one in answer.providers] == [
        ("", "scripted", True),
        ("spare", "second", True),
    ]
    assert answer.providers[0].paused_seconds > 20
    assert answer.providers[1].paused_seconds == 0


@pytest.mark.unit
def test_a_device_is_reached_by_the_first_provider_that_knows_its_kind() -> None:
    lanes = Lanes(
        [
            Lane("gone", None, None, "not installed"),
            Lane("google", ScriptedChannel("google", platforms=frozenset({"GCM"})), None, "away"),
            Lane("apple", ScriptedChannel("apple", platforms=frozenset({"APNS"})), None, "away"),
        ]
    )
    assert [lane and lane.route for lane in map(lanes.of, ["GCM", "APNS", "ADM", ""])] == [
        "google", "apple", None, "google",
    ]  # fmt: skip


@pytest.mark.unit
def test_lanes_that_failed_go_behind_and_closed_ones_last() -> None:
    class Suspect:
        def __init__(self, suspect: bool) -> None:
            self.breaker = self
            self._suspect = suspect

        def suspect(self, now: float) -> bool:
            return self._suspect

    def lane(route: str, opened: Suspect | None) -> Lane:
        return Lane(route, None, opened)  # type: ignore[arg-type]

    lanes = [lane("a", None), lane("b", Suspect(True)), lane("c", Suspect(False)), lane("d", Suspect(False))]
    assert [one.route for one in order(lanes, 0.0)] == ["c", "d", "b", "a"]
