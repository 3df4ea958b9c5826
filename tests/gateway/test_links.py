"""What people do with the links of their messages, over real HTTP: counted once a second, and undone by no scanner."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

import httpx
import pytest

from heliograph.messaging.v1 import events_pb2
from heliograph.segments.v1 import endpoints_pb2, endpoints_pb2_grpc
from heliograph_gateway.service.messaging import Messaging
from heliograph_gateway.service.recorder import Recorder, event_of
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import running
from heliograph_kit.testing import eventually
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_messaging.domain.tracking import LinkKind
from heliograph_segments import main as segments_main
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.tables import metadata as segments_metadata
from tests.gateway.conftest import Gateway, Letter, Opened, Send, gateway_at, stored
from tests.gateway.wire import Wire
from tests.messaging.conftest import PARENT, SECRET, Service, Started

pytestmark = pytest.mark.integration
TARGET = "https://shop.example/a?x=1&y=2"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
OPENED, CLICKED, OPTED_OUT = (
    events_pb2.MESSAGE_EVENT_TYPE_OPENED,
    events_pb2.MESSAGE_EVENT_TYPE_CLICKED,
    events_pb2.MESSAGE_EVENT_TYPE_OPTED_OUT,
)


async def told(messaging: Service, count: int) -> Counter[int]:
    """Wait for so many events of people and count them by type; the acceptance of the one message is left out."""
    types = Counter(int(event.type) for event in await messaging.events(count + 1))
    del types[events_pb2.MESSAGE_EVENT_TYPE_ACCEPTED]
    return types


async def nothing_is_told(messaging: Service, gateway: Gateway, letter: Letter) -> None:
    """See that nothing was told before an open that comes now."""
    await gateway.http.get(letter.opens[0])
    assert await told(messaging, 1) == {OPENED: 1}


def is_picture(answer: httpx.Response) -> bool:
    return answer.content.startswith(b"GIF89a") and answer.headers["content-type"] == "image/gif"


# -- opens


async def test_an_open_is_answered_with_a_picture_nobody_keeps_and_counted(
    messaging: Service, gateway: Gateway, send: Send
) -> None:
    letter = await send(messaging)
    answer = await gateway.http.get(letter.opens[0], headers={"user-agent": "Mail/1", "x-forwarded-for": "192.0.2.1"})
    assert (answer.status_code, len(answer.content)) == (200, 43)
    assert is_picture(answer)
    assert "no-store" in answer.headers["cache-control"]
    assert "server" not in answer.headers
    assert await told(messaging, 1) == {OPENED: 1}
    (event,) = [event for batch in await messaging.told() for event in batch.events if event.type == OPENED]
    assert (event.user_agent, event.ip_address) == ("Mail/1", "127.0.0.1"), "nobody believes a header of a stranger"


async def test_the_address_behind_a_trusted_proxy_is_believed(
    messaging: Service, open_gateway: Opened, send: Send
) -> None:
    gateway = await open_gateway(messaging.runtime.address, trusted_proxies=["127.0.0.0/8"])
    letter = await send(messaging)
    await gateway.http.get(letter.opens[0], headers={"x-forwarded-for": "203.0.113.9, 192.0.2.1"})
    await told(messaging, 1)
    (event,) = [event for batch in await messaging.told() for event in batch.events if event.type == OPENED]
    assert event.ip_address == "192.0.2.1"


@pytest.mark.parametrize("path", ["/o/forged.gif", "/o/AAAA.gif", f"/o/{'A' * 8000}.gif", "/o/%00%ff.gif"])
async def test_a_forged_open_shows_the_same_picture_and_counts_nothing(
    messaging: Service, gateway: Gateway, send: Send, path: str
) -> None:
    letter = await send(messaging)
    assert is_picture(await gateway.http.get(path))
    assert is_picture(await gateway.http.get(letter.clicks[0].replace("/c/", "/o/") + ".gif"))
    await nothing_is_told(messaging, gateway, letter)


async def test_opens_are_answered_while_messaging_is_away_and_counted_when_it_is_back(
    messaging: Service, open_gateway: Opened, send: Send, wire: Wire
) -> None:
    letter = await send(messaging)
    await wire.cut()
    gateway = await open_gateway(wire.address)  # begins without having seen a single key
    answers = await asyncio.gather(*(gateway.http.get(letter.opens[0]) for _ in range(5)))
    assert all(is_picture(answer) for answer in answers)
    click = await gateway.http.get(letter.clicks[0])
    assert (click.status_code, click.headers["retry-after"]) == (503, "5"), "nobody can tell where it leads"
    await wire.mend()
    assert (await told(messaging, 1))[OPENED] >= 1

    async def leads_on() -> bool:
        return (await gateway.http.get(letter.clicks[0])).status_code == 302

    await eventually(leads_on)


async def test_what_is_held_when_the_gateway_stops_is_handed_over_first(
    messaging: Service, send: Send, wire: Wire
) -> None:
    letter = await send(messaging)
    async with gateway_at(wire.address, flush_seconds=10) as gateway:
        await gateway.http.get(letter.opens[0])
        assert await stored(messaging) == 0
    assert await stored(messaging) == 1


async def test_more_than_may_be_held_is_dropped(messaging: Service, send: Send, wire: Wire) -> None:
    letters = [await send(messaging, run_id=f"run{number}") for number in range(3)]
    await wire.cut()
    recorder = Recorder(Messaging(messaging.runtime.peer("campaigns"), seconds=0.1), flush_seconds=1, most=2)
    for letter in letters:
        recorder.add(event_of(letter.opens[0], datetime.now(UTC), user_agent="", ip_address=""))
    assert recorder.held == 2


# -- clicks


async def test_a_click_leads_on_and_is_counted_with_where_it_led(
    messaging: Service, gateway: Gateway, send: Send
) -> None:
    letter = await send(messaging)
    answer = await gateway.http.get(letter.clicks[0])
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert await told(messaging, 1) == {CLICKED: 1}
    (event,) = [event for batch in await messaging.told() for event in batch.events if event.type == CLICKED]
    assert event.link == TARGET


async def test_clicks_lead_on_while_messaging_is_away_and_are_counted_when_it_is_back(
    messaging: Service, open_gateway: Opened, send: Send, wire: Wire
) -> None:
    letter = await send(messaging)
    gateway = await open_gateway(wire.address)
    assert (await gateway.http.get(letter.unsubscribe)).status_code == 200
    await wire.cut()
    assert (await gateway.http.get(letter.clicks[0])).headers["location"] == TARGET
    assert (await gateway.http.get(letter.unsubscribe)).status_code == 200
    await wire.mend()
    assert await told(messaging, 1) == {CLICKED: 1}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda path: path[:-1] + ("A" if path[-1] != "A" else "B"), id="the signature"),
        pytest.param(lambda path: path[:20] + ("A" if path[20] != "A" else "B") + path[21:], id="what is signed"),
        pytest.param(lambda path: path + "AAAA", id="longer"),
        pytest.param(lambda path: path[:-4], id="shorter"),
        pytest.param(lambda path: path.replace("/c/", "/c/https://evil.example/"), id="another target before it"),
        pytest.param(lambda path: path + "/https://evil.example", id="another target behind it"),
        pytest.param(lambda path: "/c/aHR0cHM6Ly9ldmlsLmV4YW1wbGU", id="a target alone"),
        pytest.param(lambda path: "/c/" + "A" * 5000, id="huge"),
        pytest.param(lambda path: "/c/", id="empty"),
        pytest.param(lambda path: "/c//evil.example", id="two slashes"),
        pytest.param(lambda path: "/c/..%2f..%2fetc", id="dots"),
    ],
)
async def test_a_forged_click_leads_nowhere(messaging: Service, gateway: Gateway, send: Send, changed: object) -> None:
    assert callable(changed)
    letter = await send(messaging)
    answer = await gateway.http.get(changed(letter.clicks[0]))
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert "evil" not in answer.text
    await nothing_is_told(messaging, gateway, letter)


async def test_a_query_a_header_or_another_host_change_nothing_of_where_a_click_leads(
    messaging: Service, gateway: Gateway, send: Send
) -> None:
    letter = await send(messaging)
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example", "referer": "https://evil.example"}
    answer = await gateway.http.get(letter.clicks[0] + "?url=https://evil.example&next=//evil.example", headers=headers)
    assert answer.headers["location"] == TARGET


@pytest.mark.parametrize("kind", [LinkKind.OPEN, LinkKind.UNSUBSCRIBE])
async def test_a_token_of_another_kind_is_no_click(
    messaging: Service, gateway: Gateway, send: Send, kind: LinkKind
) -> None:
    letter = await send(messaging)
    url = letter.signer.stamp(kind).url(bytes.fromhex(letter.message_id)).removesuffix(".gif")
    assert (await gateway.http.get(f"/c/{url.rsplit('/', 1)[1]}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "headers"), [("HEAD", {}), ("GET", {"sec-purpose": "prefetch"}), ("GET", {"purpose": "preview"})]
)
async def test_looking_ahead_counts_as_nothing(
    messaging: Service, gateway: Gateway, send: Send, method: str, headers: dict[str, str]
) -> None:
    letter = await send(messaging)
    answer = await gateway.http.request(method, letter.clicks[0], headers=headers)
    assert answer.headers["location"] == TARGET
    await gateway.http.request(method, letter.opens[0], headers=headers)
    await nothing_is_told(messaging, gateway, letter)


async def test_a_click_repeated_within_a_second_is_one_and_a_flood_stays_small(
    messaging: Service, gateway: Gateway, send: Send
) -> None:
    letter = await send(messaging)
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(gateway.http.get(letter.clicks[0]) for _ in range(300)))
    seconds = asyncio.get_running_loop().time() - began
    assert {answer.status_code for answer in answers} == {302}
    counted = (await told(messaging, 1))[CLICKED]
    assert 1 <= counted <= seconds + 2


async def test_many_recipients_are_counted_each(messaging: Service, gateway: Gateway, send: Send) -> None:
    letters = [await send(messaging, run_id=f"run{number}") for number in range(5)]
    await asyncio.gather(*(gateway.http.get(path) for letter in letters for path in (*letter.opens, *letter.clicks)))
    types = Counter(int(event.type) for event in await messaging.events(15))
    assert (types[OPENED], types[CLICKED]) == (5, 5)


# -- unsubscribing


async def test_looking_at_the_page_changes_nothing_whoever_looks(
    messaging: Service, gateway: Gateway, send: Send
) -> None:
    letter = await send(messaging)
    for method in ("GET", "HEAD", "GET"):
        answer = await gateway.http.request(method, letter.unsubscribe + "?List-Unsubscribe=One-Click")
        assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    await nothing_is_told(messaging, gateway, letter)
    assert await stored(messaging, "endpoint_marks") == 0


async def test_the_button_of_the_page_and_a_mail_program_unsubscribe(
    messaging: Service, gateway: Gateway, send: Send
) -> None:
    for number, form in enumerate(
        (
            {"data": ONE_CLICK},
            {"files": {"List-Unsubscribe": (None, "One-Click")}},
            {"data": {"x": "y", **ONE_CLICK}},
        )
    ):
        letter = await send(messaging, run_id=f"run{number}")
        answer = await gateway.http.post(letter.unsubscribe, **form)  # type: ignore[arg-type]
        assert answer.status_code == 200
        assert "location" not in answer.headers, "RFC 8058: no redirect"
        assert await stored(messaging, where="kind = 'UNSUBSCRIBED'") == number + 1, "stored before it is answered"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b""),
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=Two-Clicks"),
        ("application/x-www-form-urlencoded", b"list=One-Click"),
        ("application/x-www-form-urlencoded", b"\xff\xfe"),
        ("application/x-www-form-urlencoded", b"&".join(b"a=b" for _ in range(21))),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nOne-Click\r\n--x--"),
        ("multipart/form-data", b"List-Unsubscribe=One-Click"),
        ('multipart/form-data; boundary="\r\n', b"--"),
    ],
    ids=["empty", "other value", "other name", "no text", "many fields", "no name", "no boundary", "no type"],
)
async def test_a_post_that_does_not_ask_for_it_unsubscribes_nobody(
    messaging: Service, gateway: Gateway, send: Send, content_type: str, body: bytes
) -> None:
    letter = await send(messaging)
    if "\r" in content_type:
        content_type = "multipart/form-data; boundary="
    answer = await gateway.http.post(letter.unsubscribe, content=body, headers={"content-type": content_type})
    assert answer.status_code == 400
    assert await stored(messaging) == 0


async def test_a_forged_link_unsubscribes_nobody(messaging: Service, gateway: Gateway, send: Send) -> None:
    letter = await send(messaging)
    forged = letter.unsubscribe[:-1] + ("A" if letter.unsubscribe[-1] != "A" else "B")
    click = letter.clicks[0].replace("/c/", "/u/")
    for path in (forged, click, "/u/x"):
        assert (await gateway.http.get(path)).status_code == 404
        assert (await gateway.http.post(path, data=ONE_CLICK)).status_code == 404
    assert await stored(messaging) == 0


async def test_nobody_is_told_that_it_is_done_while_it_is_not(
    messaging: Service, open_gateway: Opened, send: Send, wire: Wire
) -> None:
    letter = await send(messaging)
    gateway = await open_gateway(wire.address)
    await wire.cut()
    answer = await gateway.http.post(letter.unsubscribe, data=ONE_CLICK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert await stored(messaging) == 0
    await wire.mend()
    assert (await gateway.http.post(letter.unsubscribe, data=ONE_CLICK)).status_code == 200
    assert await stored(messaging, where="kind = 'UNSUBSCRIBED'") == 1


async def test_who_unsubscribes_gets_no_more_campaigns(
    start: Started, open_gateway: Opened, send: Send, migrated_database: MigratedDatabase, nats_url: str
) -> None:
    settings = SegmentsSettings.model_validate(
        {
            "database_url": migrated_database((segments_main.PACKAGE, "segments")),
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": SECRET,
            "drain_seconds": 0,
        }
    )
    async with running(
        settings, segments_main.build, package=segments_main.PACKAGE, metadata=segments_metadata
    ) as segments:
        to = channel(segments.address, tokens=InternalTokens(SECRET), caller="tests")
        endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub = endpoints_pb2_grpc.EndpointServiceStub(to)
        person = endpoints_pb2.Endpoint(endpoint_id="e000000", channel_type="EMAIL", address="a@x.example")
        await endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=[person]))
        messaging = await start(public_url="https://mail.example", peer_segments=f"dns:///{segments.address}")
        await messaging.set_up("EMAIL")
        letter = await send(messaging)
        gateway = await open_gateway(messaging.runtime.address)
        assert (await gateway.http.post(letter.unsubscribe, data=ONE_CLICK)).status_code == 200

        async def opted_out() -> bool:
            request = endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/e000000")
            return (await endpoints.GetEndpoint(request)).opt_out == endpoints_pb2.Endpoint.OPT_OUT_ALL

        await eventually(opted_out)
        assert await told(messaging, 1) == {OPTED_OUT: 1}
        await to.close(grace=None)
