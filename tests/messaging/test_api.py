"""Templates, channels and direct sends through gRPC: what is answered, what is refused, and that refusals change nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2, json_format, struct_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, dispatch_pb2, messages_pb2, templates_pb2
from heliograph.registry10dlc.v1 import events_pb2 as registry_pb2
from heliograph_channels import Kind, PluginError, SmsContent
from heliograph_kit.migrations import differences
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import StartFailed
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from heliograph_messaging import main, providers
from heliograph_messaging.tables import metadata
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, Values, a_batch

pytestmark = pytest.mark.integration
S = messages_pb2.MessageStatus


def an_email(**fields: Any) -> templates_pb2.Template:
    email = {
        "subject": "Hi {{User.UserAttributes.first}}",
        "html": "<p>{{Attributes.plan}}</p>",
        **fields.pop("email", {}),
    }
    return templates_pb2.Template(
        kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=templates_pb2.EmailTemplate(**email), **fields
    )


async def create(service: Service, template: templates_pb2.Template, **fields: Any) -> templates_pb2.Template:
    return await service.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(parent=PARENT, template=template, **fields)
    )


async def test_the_migrations_build_what_the_tables_declare(values: Values) -> None:
    assert differences(values["database_url"], metadata) == []


async def test_a_template_lives_from_creation_over_versions_to_deletion(service: Service) -> None:
    created = await create(
        service,
        an_email(default_substitutions={"User.UserAttributes.first": "friend"}),
        template_id="welcome",
        request_id="r",
    )
    assert created.name == f"{PARENT}/templates/welcome"
    assert (created.version, created.active_version, created.updated_by) == (1, 1, "tests")
    assert list(created.variables) == ["Attributes.plan", "User.UserAttributes.first"]
    again = await create(
        service,
        an_email(default_substitutions={"User.UserAttributes.first": "friend"}),
        template_id="welcome",
        request_id="r",
    )
    assert again == created
    changed = await service.templates.UpdateTemplate(
        templates_pb2.UpdateTemplateRequest(
            template=templates_pb2.Template(
                name=created.name, email=templates_pb2.EmailTemplate(text="Hi {{Code}}"), description="ignored"
            ),
            update_mask=field_mask_pb2.FieldMask(paths=["email.text"]),
        )
    )
    assert (changed.version, changed.email.subject, changed.description) == (2, created.email.subject, "")
    assert list(changed.substitution_names) == ["Code"]
    get = templates_pb2.GetTemplateRequest
    assert (await service.templates.GetTemplate(get(name=created.name))).version == 2
    old = await service.templates.GetTemplate(get(name=created.name, version=1))
    assert (old.version, old.active_version, old.email.text) == (1, 2, "")
    await create(service, templates_pb2.Template(sms=templates_pb2.SmsTemplate(body="Hi")), template_id="a-sms")
    page = await service.templates.ListTemplates(templates_pb2.ListTemplatesRequest(parent=PARENT, page_size=1))
    assert [one.name for one in page.templates] == [f"{PARENT}/templates/a-sms"]
    rest = await service.templates.ListTemplates(
        templates_pb2.ListTemplatesRequest(parent=PARENT, page_size=1, page_token=page.next_page_token)
    )
    assert ([one.version for one in rest.templates], rest.next_page_token) == ([2], "")
    await service.templates.DeleteTemplate(templates_pb2.DeleteTemplateRequest(name=created.name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.templates.GetTemplate(get(name=created.name))
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")


async def test_a_template_tells_the_variables_of_its_blocks_and_helpers(service: Service) -> None:
    html = (
        '{{#*inline "p"}}{{upper Attributes.plan}}{{/inline}}{{#each Attributes.colors}}{{this}}{{Code}}{{> p}}{{/each}}'
        "{{#if (gt Metrics.score 5)}}{{join Names ','}}{{else if Location.City}}x{{/if}}"
    )
    created = await create(service, an_email(email={"subject": "{{dateFormat Day}}", "html": html}))
    assert list(created.variables) == ["Attributes.colors", "Attributes.plan", "Location.City", "Metrics.score"]
    assert list(created.substitution_names) == ["Code", "Day", "Names"]


async def test_bad_templates_are_refused_with_every_violation_and_nothing_is_stored(service: Service) -> None:
    sms = templates_pb2.SmsTemplate
    cases: list[tuple[templates_pb2.Template, str, set[str]]] = [
        (
            an_email(email={"subject": "{{#if a}}", "html": "a\n{{up x}}"}, description="d" * 501),
            "TEMPLATE_DOES_NOT_COMPILE",
            {"template.email.subject", "template.email.html", "template.description"},
        ),
        (
            an_email(email={"subject": "", "html": ""}),
            "INVALID_ARGUMENT",
            {"template.email.subject", "template.email.html"},
        ),
        (an_email(email={"html": "x" * 600_000}), "INVALID_ARGUMENT", {"template.email"}),
        (templates_pb2.Template(sms=sms(body="x" * 1601)), "INVALID_ARGUMENT", {"template.sms.body"}),
        (templates_pb2.Template(), "INVALID_ARGUMENT", {"template.kind"}),
        (
            templates_pb2.Template(sms=sms(body="x"), default_substitutions={"a b": "1", "Location.X": "2"}),
            "INVALID_ARGUMENT",
            {"template.default_substitutions[a b]", "template.default_substitutions[Location.X]"},
        ),
    ]
    for template, reason, fields in cases:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(service, template)
        assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert {field for field, _ in violations_of(caught.value)} == fields
    listed = await service.templates.ListTemplates(templates_pb2.ListTemplatesRequest(parent=PARENT))
    assert not listed.templates
    await create(service, templates_pb2.Template(sms=sms(body="x" * 1600)), template_id="longest")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(service, templates_pb2.Template(sms=sms(body="y")), template_id="longest")
    assert reason_of(caught.value) == "TEMPLATE_ALREADY_EXISTS"
    subject = "s" * 10
    await create(service, an_email(email={"subject": subject, "html": "x" * (600_000 - len(subject))}))


async def test_secrets_of_a_channel_are_stored_sealed_kept_and_never_returned(service: Service) -> None:
    channel = await service.set_up("EMAIL", host="mail", port=25, password="hunter22")
    assert json_format.MessageToDict(channel.settings) == {"host": "mail", "port": 25.0, "idempotent": False}
    assert (list(channel.secret_names), channel.version) == (["password"], 1)
    async with service.runtime.database.transaction() as conn:
        dump = str((await conn.execute(text("SELECT * FROM messaging.channels"))).all())
    assert "hunter22" not in dump
    await service.set_up("EMAIL", host="other", port=26)
    await service.dispatch(a_batch(["a@x.com"]))
    await service.done(1)
    assert service.scripted.opened_with == [{"host": "other", "port": 26, "password": "hunter22", "idempotent": False}]
    assert isinstance(service.scripted.opened_with[0]["port"], int)
    seen = await service.channels.ListChannels(channels_pb2.ListChannelsRequest(parent=PARENT))
    assert "hunter22" not in str(seen)
    assert seen.channels[0].version == 2


async def test_bad_channels_are_refused_with_every_violation(start: Started) -> None:
    service = await start(secret_key=None)

    async def refused(kind: str, provider: str, settings: dict[str, Any], sender: str = "") -> tuple[str, set[str]]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.channels.UpdateChannel(
                channels_pb2.UpdateChannelRequest(
                    channel=channels_pb2.Channel(
                        name=f"{PARENT}/channels/{kind}",
                        provider=provider,
                        from_address=sender,
                        settings=json_format.ParseDict(settings, struct_pb2.Struct()),
                    )
                )
            )
        return reason_of(caught.value), {field for field, _ in violations_of(caught.value)}

    assert await refused("EMAIL", "nobody", {}) == ("PROVIDER_UNKNOWN", {"channel.provider"})
    assert await refused("IN_APP", "scripted", {}) == ("INVALID_ARGUMENT", {"channel.name"})
    assert await refused("PIGEON", "scripted", {}, "x") == ("INVALID_ARGUMENT", {"channel.name"})
    assert await refused("EMAIL", "scripted", {}, "no address") == ("INVALID_ARGUMENT", {"channel.from_address"})
    assert await refused("VOICE", "scripted", {}, "0140000000") == ("INVALID_ARGUMENT", {"channel.from_address"})
    assert await refused("EMAIL", "scripted", {"port": 0, "hots": "x"}) == (
        "CHANNEL_SETTINGS_INVALID",
        {"channel.settings.port", "channel.settings.hots"},
    )
    assert (await refused("EMAIL", "scripted", {"password": "hunter22"}))[0] == "SECRET_KEY_MISSING"
    assert not (await service.channels.ListChannels(channels_pb2.ListChannelsRequest(parent=PARENT))).channels


async def test_the_catalogue_shows_every_plugin_with_its_schema(service: Service) -> None:
    found = await service.channels.ListProviders(channels_pb2.ListProvidersRequest())
    assert [provider.name for provider in found.providers] == ["scripted", "second", "simulator"]
    scripted = found.providers[0]
    assert (list(scripted.kinds), scripted.batch_size) == (["CUSTOM", "EMAIL", "PUSH", "SMS", "VOICE"], 10)
    assert json_format.MessageToDict(scripted.settings_schema)["properties"]["password"]["writeOnly"] is True


async def test_a_plugin_that_cannot_be_used_stops_the_start_with_its_name(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise PluginError("pigeon", "heliograph_chanels is no hook")

    monkeypatch.setattr(main, "load_catalogue", broken)
    with pytest.raises(StartFailed, match="'pigeon': heliograph_chanels is no hook"):
        await start()
    with pytest.raises(PluginError, match="nobody"):
        providers.load_catalogue(["nobody"])
    assert set(providers.load_catalogue(["simulator"])) == {"simulator"}


async def announce(service: Service, number: str, state: str, revision: int) -> None:
    change = registry_pb2.NumberUpdated(
        phone_number=f"{PARENT}/phoneNumbers/n", number=number, kind="TEN_DLC", state=state, sms_capable=True,
        use_case=f"{PARENT}/useCases/u", revision=revision,
    )  # fmt: skip
    await service.runtime.bus.publish(
        changes_subject("registry10dlc", PROJECT, "number_updated"),
        change.SerializeToString(),
        id=f"{number}-{revision}",
        type=change.DESCRIPTOR.full_name,
    )

    async def seen() -> bool:
        query = text("SELECT revision FROM messaging.numbers WHERE project = :p AND number = :n")
        async with service.runtime.database.transaction() as conn:
            row = (await conn.execute(query, {"p": PROJECT, "n": number})).scalar_one_or_none()
        return row is not None and row >= revision

    await eventually(seen)


async def test_an_sms_to_the_us_waits_for_nothing_but_a_ready_number(service: Service) -> None:
    await service.set_up("SMS")
    body = dispatch_pb2.MessageContent(sms_body="Hi " + "a" * 200)

    async def send(content: dispatch_pb2.MessageContent) -> messages_pb2.Message:
        taken = await service.messages.SendMessages(
            messages_pb2.SendMessagesRequest(
                parent=PARENT,
                channel="SMS",
                content=content,
                recipients=[messages_pb2.Recipient(address="+15551234567")],
            )
        )
        await service.done(1, taken.run_id)
        return await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=taken.messages[0].message))

    none = await send(body)
    assert (none.status, none.reason) == (S.MESSAGE_STATUS_FAILED, "FAILURE_PERMANENT")
    assert "it has none" in none.detail
    await announce(service, "+12065550100", "PENDING", 1)
    pending = await send(body)
    assert "+12065550100 (TEN_DLC) is PENDING" in pending.detail
    named = dispatch_pb2.MessageContent(sms_body="x", origination_number="+12065550100")
    assert "is PENDING" in (await send(named)).detail
    assert not service.scripted.calls
    await announce(service, "+12065550100", "READY", 3)
    sent = await send(body)
    assert (sent.status, sent.origination, sent.part_count) == (S.MESSAGE_STATUS_ACCEPTED, "+12065550100", 2)
    assert sent.events[0].ten_dlc_registration_id == f"{PARENT}/useCases/u"
    message = service.scripted.sent[0]
    assert (message.kind, message.origination) == (Kind.SMS, "+12065550100")
    assert isinstance(message.content, SmsContent)
    # An announcement that was overtaken changes nothing.
    await announce(service, "+12065550100", "PENDING", 2)
    assert (await send(named)).status == S.MESSAGE_STATUS_ACCEPTED
    stranger = dispatch_pb2.MessageContent(sms_body="x", origination_number="+12065550999")
    assert "does not belong to this project" in (await send(stranger)).detail


async def test_a_template_pinned_at_the_first_try_is_kept_when_the_batch_comes_again(service: Service) -> None:
    await service.set_up("EMAIL")
    template = await create(service, an_email(email={"subject": "one", "html": "<p>one</p>"}), template_id="t")
    await service.dispatch(a_batch(["a@x.com"], template=template.name))
    await service.done(1)
    await service.templates.UpdateTemplate(
        templates_pb2.UpdateTemplateRequest(
            template=templates_pb2.Template(
                name=template.name, email=templates_pb2.EmailTemplate(subject="two", html="2")
            )
        )
    )
    await service.dispatch(a_batch(["b@x.com"], page=1, template=template.name))
    await service.done(2)
    assert [message.content.subject for message in service.scripted.sent] == ["one", "two"]  # type: ignore[union-attr]
    assert [row.template_version for row in await service.rows()] == [1, 2]


async def test_a_deleted_project_leaves_nothing_behind(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.com"]))
    await service.done(1)
    await service.runtime.bus.publish(
        changes_subject("projects", PROJECT, "project_deleted"), b"", id=f"gone-{datetime.now(UTC)}", type="x"
    )

    async def gone() -> bool:
        query = text("SELECT (SELECT count(*) FROM messaging.messages) + (SELECT count(*) FROM messaging.channels)")
        async with service.runtime.database.transaction() as conn:
            return not (await conn.execute(query)).scalar_one()

    await eventually(gone)
