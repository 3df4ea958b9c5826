"""Previews: what is shown for whom, where every value comes from, who lacks something, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from sqlalchemy import text

from heliograph.messaging.v1 import templates_pb2
from heliograph_kit.rpc import reason_of, violations_of
from tests.messaging.conftest import PARENT, Service, Started
from tests.messaging.segments import AnEndpoint, Segments, running

pytestmark = pytest.mark.integration
T = templates_pb2
Template: Any = T.Template
SUBSTITUTION, ENDPOINT, DEFAULT, MISSING = 1, 2, 3, 4
ERROR, WARNING = T.PREVIEW_SEVERITY_ERROR, T.PREVIEW_SEVERITY_WARNING


@pytest.fixture
def segments() -> Segments:
    return Segments()  # type: ignore[abstract]  # only what messaging asks for is there


@pytest_asyncio.fixture
async def service(start: Started, segments: Segments) -> AsyncIterator[Service]:
    """A service that asks for endpoints, with links of its own."""
    async with running(segments) as address:
        yield await start(peer_segments=address, public_url="https://m.example")


async def preview(service: Service, **fields: Any) -> T.PreviewTemplateResponse:
    request: Any = T.PreviewTemplateRequest
    return await service.templates.PreviewTemplate(request(parent=PARENT, **fields))


def problems(shown: T.PreviewTemplateResponse) -> list[tuple[int, str, str]]:
    return [(one.severity, one.reason, one.field) for one in shown.problems]


def variables(shown: T.PreviewTemplateResponse) -> list[tuple[str, str, int]]:
    return [(one.path, one.value, one.source) for one in shown.variables]


async def test_a_stored_version_is_shown_for_an_endpoint_with_the_origin_of_every_value(
    service: Service, segments: Segments
) -> None:
    segments.endpoints["e1"] = AnEndpoint(
        user_id="u1", fields={"User.UserAttributes.first": ["Ann", "Annie"], "Attributes.plan": ["<pro>"]}
    )
    template = Template(
        email={
            "subject": "Hi {{User.UserAttributes.first.[0]}}",
            "html": "<p>{{Attributes.plan}} {{Code}} {{Attributes.city}} {{User.UserAttributes.first}}</p>",
            "headers": [{"name": "X-User", "value": "{{User.UserId}}"}],
            "list_unsubscribe": {"one_click": True},
        },
        default_substitutions={"Attributes.city": "Rome", "Attributes.plan": "free"},
    )
    created = await service.templates.CreateTemplate(
        T.CreateTemplateRequest(parent=PARENT, template=template, template_id="t")
    )
    await service.templates.UpdateTemplate(
        T.UpdateTemplateRequest(template=Template(name=created.name, email={"subject": "newer", "html": "x"}))
    )
    shown = await preview(service, template=created.name, version=1, endpoint_id="e1", substitutions={"Code": "42"})
    assert shown.email.subject == "Hi Ann"
    assert shown.email.html == "<p>&lt;pro&gt; 42 Rome Ann, Annie</p>"
    headers = {one.name: one.value for one in shown.email.headers}
    assert (headers["X-User"], headers["List-Unsubscribe-Post"]) == ("u1", "List-Unsubscribe=One-Click")
    assert headers["List-Unsubscribe"].startswith("<https://m.example/u/")
    told = [shown.email.subject, shown.email.html, *(f"{name}: {value}" for name, value in headers.items())]
    assert shown.email.size_bytes == sum(len(one.encode()) for one in told)
    assert [(one.path, one.index if one.HasField("index") else None, one.value, one.source) for one in shown.variables] == [
        ("Attributes.city", None, "Rome", DEFAULT), ("Attributes.plan", None, "<pro>", ENDPOINT),
        ("Code", None, "42", SUBSTITUTION), ("User.UserAttributes.first", None, "Ann, Annie", ENDPOINT),
        ("User.UserAttributes.first", 0, "Ann", ENDPOINT), ("User.UserId", None, "u1", ENDPOINT),
    ]  # fmt: skip
    assert problems(shown) == [(WARNING, "TEXT_PART_MISSING", "email.text")]
    assert (await preview(service, template=created.name)).email.subject == "newer"
    assert segments.asked == [(1, ["Attributes.city", "Attributes.plan", "User.UserAttributes.first"])]


async def test_a_draft_is_shown_for_sample_values_and_stored_nowhere(service: Service) -> None:
    draft = Template(sms={"body": "Hi {{Attributes.first}}, bit.ly/x \u2019" + "a" * 50})
    shown = await preview(service, draft=draft, substitutions={"Attributes.first": "Ann"})
    assert shown.sms.body.startswith("Hi Ann, ")
    assert (shown.sms.encoding, shown.sms.part_count, shown.sms.unit_count) == ("UCS-2", 1, len(shown.sms.body))
    assert problems(shown) == [(WARNING, "LINK_SHORTENER", "sms.body")]
    long = await preview(service, draft=draft, substitutions={"Attributes.first": "A" * 1600})
    assert problems(long)[0] == (ERROR, "TOO_LARGE", "sms.body")
    async with service.runtime.database.transaction() as conn:
        assert (await conn.execute(text("SELECT count(*) FROM messaging.templates"))).scalar_one() == 0


async def test_missing_values_are_errors_of_a_strict_template_and_gaps_of_a_lenient_one(service: Service) -> None:
    strict = Template(sms={"body": "{{Attributes.first}} {{Code}} {{Attributes.first}}!"})
    shown = await preview(service, draft=strict, substitutions={"Code": "42"})
    assert shown.WhichOneof("rendered") is None
    assert variables(shown) == [("Attributes.first", "", MISSING), ("Code", "42", SUBSTITUTION)]
    assert problems(shown) == [(ERROR, "MISSING_VALUE", "Attributes.first")]
    lenient = Template(sms=strict.sms, lenient=True)
    shown = await preview(service, draft=lenient, substitutions={"Code": "42"})
    assert (shown.sms.body, problems(shown)) == (" 42 !", [])
    assert variables(shown)[0] == ("Attributes.first", "", MISSING)


async def test_a_sample_tells_how_many_would_not_be_reached(service: Service, segments: Segments) -> None:
    for number in range(1000):
        fields = {"Attributes.plan": ["pro"]} if number % 2 else {}
        if number < 10:
            fields["Attributes.city"] = ["Rome"]
        segments.endpoints[f"e{number}"] = AnEndpoint(address=f"a{number}@x.com", fields=fields)
    draft = Template(
        email={"subject": "{{Attributes.plan}}", "html": "{{Attributes.city}} {{Attributes.age}} {{Attributes.mood}}"},
        default_substitutions={"Attributes.mood": "well"},
    )
    sample = [*[*segments.endpoints][:999], "gone"]
    shown = await preview(
        service, draft=draft, substitutions={"Attributes.age": "7", "Attributes.plan": "x"}, sample_endpoint_ids=sample
    )
    assert (shown.sampled_count, shown.complete_count) == (999, 10)
    assert [(one.path, one.endpoint_count) for one in shown.missing] == [("Attributes.city", 989)]
    shown = await preview(service, draft=draft, sample_endpoint_ids=sample)
    assert [(one.path, one.endpoint_count) for one in shown.missing] == [
        ("Attributes.age", 999), ("Attributes.city", 989), ("Attributes.plan", 500),
    ]  # fmt: skip
    assert shown.complete_count == 0


async def test_what_is_only_tested_is_not_missing_and_what_a_block_needs_is(
    service: Service, segments: Segments
) -> None:
    body = "{{#if Attributes.nick}}{{Attributes.nick}}{{else}}{{Attributes.first}}{{/if}}{{#each Attributes.tags}},{{.}}{{/each}}"
    draft = Template(sms={"body": body})
    shown = await preview(service, draft=draft, substitutions={"Attributes.nick": "Nan"})
    assert (shown.sms.body, problems(shown)) == ("Nan", [])
    assert variables(shown) == [
        ("Attributes.first", "", MISSING), ("Attributes.nick", "Nan", SUBSTITUTION), ("Attributes.tags", "", MISSING),
    ]  # fmt: skip
    shown = await preview(service, draft=draft)
    assert shown.WhichOneof("rendered") is None
    assert problems(shown) == [(ERROR, "MISSING_VALUE", "Attributes.first")]
    for number, fields in enumerate(({"nick": ["N"]}, {"first": ["F"], "tags": ["a", "b"]}, {"tags": ["c"]})):
        own = {f"Attributes.{name}": values for name, values in fields.items()}
        segments.endpoints[f"e{number}"] = AnEndpoint("SMS", f"+3361234567{number}", fields=own)
    shown = await preview(service, draft=draft, endpoint_id="e1", sample_endpoint_ids=["e0", "e1", "e2"])
    assert shown.sms.body == "F,a,b"
    assert (shown.sampled_count, shown.complete_count) == (3, 2)
    assert [(one.path, one.endpoint_count) for one in shown.missing] == [("Attributes.first", 1)]
    number = Template(sms={"body": "{{round Attributes.first}}"})
    shown = await preview(service, draft=number, endpoint_id="e1", sample_endpoint_ids=["e0", "e1"])
    assert problems(shown) == [(ERROR, "INVALID_CONTENT", "")]
    assert (shown.complete_count, [(one.path, one.endpoint_count) for one in shown.missing]) == (
        0, [("Attributes.first", 1)],
    )  # fmt: skip


async def test_a_notification_is_shown_for_a_platform_and_sampled_by_device(
    service: Service, segments: Segments
) -> None:
    plan = {"Attributes.plan": ["pro"]}
    segments.endpoints = {
        "apple": AnEndpoint("APNS_SANDBOX", "t1"), "google": AnEndpoint("GCM", "t2", fields=plan),
        "google2": AnEndpoint("GCM", "t3"),
    }  # fmt: skip
    draft = Template(
        push={
            "default_part": {"title": "for all", "body": "b"},
            "gcm": {"title": "{{Attributes.plan}}", "sound": "ping"},
            "adm": {"raw_content": '{"data": "{{Attributes.plan}}"}'},
        }
    )
    shown = await preview(
        service, draft=draft, endpoint_id="google", sample_endpoint_ids=["apple", "google", "google2"]
    )
    assert (shown.push.platform, shown.push.part.title, shown.push.part.sound) == ("GCM", "pro", "ping")
    assert shown.push.payload_bytes == len('{"title": "pro", "body": "b", "sound": "ping"}')
    assert ([(one.path, one.endpoint_count) for one in shown.missing], shown.complete_count) == (
        [("Attributes.plan", 1)], 2,
    )  # fmt: skip
    apple = await preview(service, draft=draft, endpoint_id="apple")
    assert (apple.push.platform, apple.push.part.title, list(apple.variables)) == ("APNS", "for all", [])
    raw = await preview(service, draft=draft, platform="ADM", substitutions={"Attributes.plan": '"pro"'})
    assert (json.loads(raw.push.part.raw_content), raw.push.part.title) == ({"data": '"pro"'}, "")
    assert raw.push.payload_bytes == len(raw.push.part.raw_content)
    assert problems(
        await preview(service, draft=draft, platform="ADM", substitutions={"Attributes.plan": "x" * 6200})
    ) == [(ERROR, "TOO_LARGE", "push.adm")]
    assert problems(await preview(service, draft=Template(push={"gcm": {"title": "x"}}), platform="APNS")) == [
        (ERROR, "EMPTY", "push.apns")
    ]
    aps = Template(push={"apns": {"raw_content": '{"aps": {"content-available": {{n}}}}'}})
    assert problems(await preview(service, draft=aps, platform="APNS", substitutions={"n": "2"})) == [
        (ERROR, "INVALID_CONTENT", "")
    ]


@pytest.mark.parametrize(("platform", "field"), [("WEB", "push.web"), ("", "push.default_part")], ids=["WEB", "any"])
async def test_a_payload_for_browsers_fits_to_the_last_byte_and_not_one_more(
    service: Service, platform: str, field: str
) -> None:
    part = {"title": "{{n}}", "image_icon_url": "https://s.example/i"}
    draft = Template(push={"default_part": part, "web": {"body": "b"} if platform else {}})
    room = 3_993 - len(json.dumps({**part, "title": "", **({"body": "b"} if platform else {})}))
    shown = await preview(service, draft=draft, platform=platform, substitutions={"n": "x" * room})
    assert (shown.push.platform, shown.push.payload_bytes, problems(shown)) == (platform, 3_993, [])
    shown = await preview(service, draft=draft, platform=platform, substitutions={"n": "x" * (room + 1)})
    assert (shown.push.payload_bytes, problems(shown)) == (3_994, [(ERROR, "TOO_LARGE", field)])


async def test_voice_and_in_app_are_shown_as_well(service: Service) -> None:
    voice = Template(voice={"body": "<speak>Hi <b>{{n}}</b></speak>"})
    shown = await preview(service, draft=voice, substitutions={"n": "Ann"})
    assert (shown.voice.body, shown.voice.ssml, shown.voice.language, shown.voice.spoken_count) == (
        "<speak>Hi <b>Ann</b></speak>", True, "en-US", 6,
    )  # fmt: skip
    assert problems(await preview(service, draft=voice, substitutions={"n": "x" * 3000})) == [
        (ERROR, "INVALID_CONTENT", "")
    ]
    body = {"text": "{{Attributes.first}} " * 8, "text_color": "#000000", "alignment": T.TEXT_ALIGNMENT_LEFT}
    in_app = Template(in_app={"contents": [{"body": body}], "layout": T.IN_APP_LAYOUT_OVERLAYS})
    shown = await preview(service, draft=in_app)
    assert shown.in_app == in_app.in_app
    at = "in_app.contents[0].body.text"
    assert problems(shown) == [(WARNING, "LONG_TEXT", at), (WARNING, "NO_VARIABLES", at)]


async def test_one_click_without_an_address_of_the_installation_is_an_error(start: Started) -> None:
    service = await start()
    draft = Template(email={"subject": "x", "text": "x", "list_unsubscribe": {"one_click": True}})
    shown = await preview(service, draft=draft)
    assert (problems(shown), shown.WhichOneof("rendered")) == ([(ERROR, "PUBLIC_URL_MISSING", "")], None)


async def test_bad_previews_are_refused_with_every_violation(service: Service) -> None:
    async def refused(**fields: Any) -> tuple[str, str, set[str]]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await preview(service, **fields)
        found = {field for field, _ in violations_of(caught.value)}
        return caught.value.code().name, reason_of(caught.value), found

    sms, bad = Template(sms={"body": "x"}), ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    many = {f"v{index}": "" for index in range(101)}
    assert await refused(
        draft=sms, version=1, substitutions=many, platform="PIGEON", sample_endpoint_ids=["e"] * 1001
    ) == (*bad, {"version", "substitutions", "platform", "sample_endpoint_ids"})  # fmt: skip
    assert await refused() == (*bad, {"source"})
    assert await refused(draft=Template(sms={"body": "x" * 1601}, description="d" * 501)) == (
        *bad, {"draft.sms.body", "draft.description"},
    )  # fmt: skip
    assert await refused(draft=Template(sms={"body": "{{"})) == (
        "INVALID_ARGUMENT", "TEMPLATE_DOES_NOT_COMPILE", {"draft.sms.body"},
    )  # fmt: skip
    assert await refused(template="t") == ("INVALID_ARGUMENT", "INVALID_NAME", {"template"})
    for name in (f"{PARENT}/templates/gone", "projects/other/templates/t"):
        assert await refused(template=name) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND", set())
    assert await refused(draft=sms, endpoint_id="gone") == ("NOT_FOUND", "ENDPOINT_NOT_FOUND", set())


async def test_a_preview_says_when_endpoints_cannot_be_looked_up(start: Started) -> None:
    service = await start(peer_segments="127.0.0.1:1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await preview(service, draft=Template(sms={"body": "x"}), endpoint_id="e1")
    assert (caught.value.code().name, reason_of(caught.value)) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
