"""Templates of every kind and their versions through gRPC: what is kept, what is refused, what stays when it is deleted."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, messages_pb2, templates_pb2
from heliograph_kit.rpc import reason_of, violations_of
from tests.messaging.conftest import PARENT, Service, a_batch

pytestmark = pytest.mark.integration
T = templates_pb2
# Their types do not know that a message may be written as a dictionary.
a_template: Any = T.Template
a_push: Any = T.PushTemplate
NAME = f"{PARENT}/templates/t"


def an_email(subject: str = "one", **fields: Any) -> T.Template:
    return T.Template(
        kind=T.TEMPLATE_KIND_EMAIL, email=T.EmailTemplate(subject=subject, html="<p>{{Id}}</p>"), **fields
    )


def an_in_app() -> T.InAppTemplate:
    left = T.TEXT_ALIGNMENT_LEFT
    button = T.InAppButton(
        action=T.IN_APP_ACTION_LINK, text="Go", link="https://s.example", border_radius=4,
        ios=T.InAppButtonOverride(action=T.IN_APP_ACTION_CLOSE),
    )  # fmt: skip
    content = T.InAppContent(
        background_color="#ffffff", image_url="https://s.example/i.png", primary_button=button,
        header=T.InAppText(text="Hi", text_color="#000000", alignment=left),
        body=T.InAppText(text="there", text_color="#000000", alignment=left),
    )  # fmt: skip
    return T.InAppTemplate(contents=[content], layout=T.IN_APP_LAYOUT_OVERLAYS, custom_config={"k": "v"})


KINDS = {
    "EMAIL": T.Template(
        email=T.EmailTemplate(
            subject="Hi {{Attributes.first}}", html="<p>x</p>", text="x",
            headers=[contents_pb2.EmailHeader(name="X-Plan", value="{{Attributes.plan}}")],
            list_unsubscribe=contents_pb2.ListUnsubscribe(one_click=True, url="https://s.example/u?u={{User.UserId}}"),
        ),
        lenient=True,
    ),
    "SMS": T.Template(sms=T.SmsTemplate(body="Hi {{Attributes.first}}")),
    "PUSH": T.Template(
        push=T.PushTemplate(
            default_part=contents_pb2.PushPart(title="Hi {{Attributes.first}}", body="x"),
            apns=contents_pb2.PushPart(raw_content='{"aps": {"content-available": 0, "alert": "{{Attributes.plan}}"}}'),
            gcm=contents_pb2.PushPart(
                body="y", action=contents_pb2.PUSH_ACTION_DEEP_LINK, url="app://{{Id}}", sound="ping",
                image_url="https://s.example/i.png", image_icon_url="https://s.example/l.png",
                small_image_icon_url="https://s.example/s.png",
            ),
            web=contents_pb2.PushPart(
                body="w", action=contents_pb2.PUSH_ACTION_URL, url="https://s.example/{{Id}}",
                image_url="https://s.example/w.png",
            ),
        )
    ),
    "VOICE": T.Template(voice=T.VoiceTemplate(body="<speak>{{Attributes.first}}</speak>", language="fr-FR", voice="Lea")),
    "IN_APP": T.Template(in_app=an_in_app()),
}  # fmt: skip


async def create(service: Service, template: T.Template, id: str = "t", **fields: Any) -> T.Template:
    return await service.templates.CreateTemplate(
        T.CreateTemplateRequest(parent=PARENT, template=template, template_id=id, **fields)
    )


async def get(service: Service, version: int = 0, **fields: Any) -> T.Template:
    return await service.templates.GetTemplate(T.GetTemplateRequest(name=NAME, version=version, **fields))


async def update(service: Service, template: T.Template, mask: tuple[str, ...] = (), **fields: Any) -> T.Template:
    changed = T.Template(name=NAME)
    changed.MergeFrom(template)
    return await service.templates.UpdateTemplate(
        T.UpdateTemplateRequest(template=changed, update_mask=field_mask_pb2.FieldMask(paths=mask), **fields)
    )


async def versions(service: Service, **fields: Any) -> T.ListTemplateVersionsResponse:
    return await service.templates.ListTemplateVersions(T.ListTemplateVersionsRequest(parent=NAME, **fields))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, set[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), reason_of(caught.value), {field for field, _ in violations_of(caught.value)}


BAD, NOT_NOW = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
OVERWRITE, ADD = T.TEMPLATE_UPDATE_MODE_OVERWRITE_LATEST, T.TEMPLATE_UPDATE_MODE_ADD_VERSION


@pytest.mark.parametrize("kind", KINDS)
async def test_a_template_of_every_kind_comes_back_as_it_was_given(service: Service, kind: str) -> None:
    given = KINDS[kind]
    created = await create(service, given, kind.lower(), request_id="r")
    assert created.kind == T.TemplateKind.Value(f"TEMPLATE_KIND_{kind}")
    field = kind.lower()
    assert getattr(created, field) == getattr(given, field)
    assert created.lenient == given.lenient
    found = await service.templates.GetTemplate(T.GetTemplateRequest(name=created.name))
    assert found == created
    assert await create(service, given, kind.lower(), request_id="r") == created
    listed = await service.templates.ListTemplates(T.ListTemplatesRequest(parent=PARENT, kind=created.kind))
    assert list(listed.templates) == [created]
    wanted = {
        "EMAIL": ["Attributes.first", "Attributes.plan"], "PUSH": ["Attributes.first", "Attributes.plan"], "IN_APP": [],
    }  # fmt: skip
    assert list(created.variables) == wanted.get(kind, ["Attributes.first"])


async def test_bad_templates_of_the_new_kinds_are_refused_with_every_violation(service: Service) -> None:
    in_app = an_in_app()
    in_app.contents.extend([in_app.contents[0]] * 5)
    in_app.contents[0].header.alignment = 99  # type: ignore[assignment]
    cases: list[tuple[T.Template, str, set[str]]] = [
        (
            a_template(push=a_push(default_part={"body": "{{#if x}}"}, adm={"title": "{{"}), description="d" * 501),
            "TEMPLATE_DOES_NOT_COMPILE",
            {"template.push.default_part.body", "template.push.adm.title", "template.description"},
        ),
        (
            a_template(push=a_push(gcm={"action": 99, "body": "x" * 4001})),
            "INVALID_ARGUMENT",
            {"template.push.gcm", "template.push.gcm.action"},
        ),
        (a_template(push=T.PushTemplate()), "INVALID_ARGUMENT", {"template.push"}),
        (a_template(voice={"body": "x" * 10_001}), "INVALID_ARGUMENT", {"template.voice.body"}),
        (
            T.Template(in_app=in_app, default_substitutions={"a": "b"}, lenient=True),
            "INVALID_ARGUMENT",
            {
                "template.in_app.contents", "template.in_app.contents[0].header.alignment", "template.lenient",
                "template.default_substitutions",
            },
        ),
        (
            a_template(kind=T.TEMPLATE_KIND_VOICE, voice={"body": "x"}, sms={"body": "x"}, push={}),
            "INVALID_ARGUMENT",
            {"template.sms", "template.push"},
        ),
        (a_template(voice={"body": "x"}, sms={"body": "x"}), "INVALID_ARGUMENT", {"template.kind"}),
        (a_template(kind=99, voice={"body": "x"}), "INVALID_ARGUMENT", {"template.kind"}),
        (a_template(sms={"body": "a\0b"}), "INVALID_ARGUMENT", {"template"}),
        (a_template(email={"subject": "a{{x}}", "text": "b", "headers": [{"name": "X", "value": "{{"}]}),
         "TEMPLATE_DOES_NOT_COMPILE", {"template.email.headers[0].value"}),
    ]  # fmt: skip
    for template, reason, fields in cases:
        assert await refusal(create(service, template)) == (BAD, reason, fields)
    for id, good in (("a" * 128, True), ("a" * 129, False), ("-a", False), ("a b", False), ("Ä", False)):
        if good:
            await create(service, KINDS["SMS"], id)
        else:
            assert await refusal(create(service, KINDS["SMS"], id)) == (BAD, "INVALID_ARGUMENT", {"template_id"})
    listed = await service.templates.ListTemplates(T.ListTemplatesRequest(parent=PARENT))
    assert [len(one.name) for one in listed.templates] == [len(f"{PARENT}/templates/") + 128]


async def test_ids_are_told_apart_by_case_and_found_by_their_beginning(service: Service) -> None:
    for id in ("a_1", "A_1", "a-2", "ab"):
        await create(service, KINDS["SMS"], id)
    await create(service, KINDS["VOICE"], "a_9")

    async def ids(**fields: Any) -> list[str]:
        answer = await service.templates.ListTemplates(T.ListTemplatesRequest(parent=PARENT, **fields))
        return sorted(one.name.rpartition("/")[2] for one in answer.templates)

    assert await ids(id_prefix="a_") == ["a_1", "a_9"]
    assert await ids(id_prefix="a_", kind=T.TEMPLATE_KIND_SMS) == ["a_1"]
    assert await ids(id_prefix="%") == []
    assert await ids() == ["A_1", "a-2", "a_1", "a_9", "ab"]


async def test_a_page_ends_where_an_answer_would_become_too_large(service: Service) -> None:
    for index in range(8):
        await create(service, a_template(email={"subject": "x", "html": "h" * 599_999}), f"large-{index}")
    seen, token, pages = [], "", 0
    while pages == 0 or token:
        answer = await service.templates.ListTemplates(T.ListTemplatesRequest(parent=PARENT, page_token=token))
        seen += [one.name for one in answer.templates]
        token, pages = answer.next_page_token, pages + 1
    assert (pages, seen) == (2, [f"{PARENT}/templates/large-{index}" for index in range(8)])


async def test_an_added_version_waits_until_it_is_made_the_active_one(service: Service) -> None:
    await create(service, an_email())
    added = await update(service, an_email("two"), mode=ADD)
    assert (added.version, added.active_version, added.latest_version) == (2, 1, 2)
    assert ((await get(service)).email.subject, (await get(service, 2)).email.subject) == ("one", "two")
    assert await update(service, an_email("two"), mode=ADD) == added
    set_active = service.templates.SetActiveVersion
    active = await set_active(T.SetActiveVersionRequest(name=NAME, latest=True))
    assert (active.version, active.active_version, (await get(service)).email.subject) == (2, 2, "two")
    await set_active(T.SetActiveVersionRequest(name=NAME, version=1))
    assert (await get(service)).email.subject == "one"
    # As ever: an update that says nothing of versions changes the active one into a new active one.
    third = await update(service, T.Template(description="of the first"))
    assert (third.version, third.active_version, third.email.subject) == (3, 3, "one")
    for request, outcome in (
        (T.SetActiveVersionRequest(name=NAME, version=4), (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND", set())),
        (T.SetActiveVersionRequest(name=NAME), (BAD, "INVALID_ARGUMENT", {"version"})),
        (T.SetActiveVersionRequest(name=NAME, latest=False), (BAD, "INVALID_ARGUMENT", {"version"})),
        (T.SetActiveVersionRequest(name=NAME, version=-1), (BAD, "INVALID_ARGUMENT", {"version"})),
    ):
        assert await refusal(set_active(request)) == outcome


async def test_only_the_latest_version_is_overwritten(service: Service) -> None:
    await create(service, an_email())
    await update(service, an_email("two"), mode=ADD)
    over = await update(service, an_email("two again"), mode=OVERWRITE, version=2)
    assert (over.version, over.active_version, over.revision, over.latest_version) == (2, 1, 1, 2)
    same = await update(service, an_email("two again"), mode=OVERWRITE)
    assert (same.revision, same) == (1, over)
    assert ((await get(service)).email.subject, (await get(service, 2)).email.subject) == ("one", "two again")
    assert await refusal(update(service, an_email("x"), mode=OVERWRITE, version=1)) == (
        NOT_NOW, "TEMPLATE_VERSION_NOT_LATEST", set(),
    )  # fmt: skip
    for fields in ({"mode": ADD, "version": 2}, {"version": 2}, {"mode": OVERWRITE, "version": -1}):
        assert await refusal(update(service, an_email("x"), (), **fields)) == (BAD, "INVALID_ARGUMENT", {"version"})
    assert await refusal(update(service, an_email("x"), mode=99)) == (BAD, "INVALID_ARGUMENT", {"mode"})
    wrong = T.Template(sms=T.SmsTemplate(body="x"))
    assert await refusal(update(service, wrong, mode=OVERWRITE)) == (BAD, "INVALID_ARGUMENT", {"template.sms"})
    listed = await versions(service)
    assert [(one.version, one.revision, one.active) for one in listed.versions] == [(2, 1, False), (1, 0, True)]
    newest = listed.versions[0]
    assert newest.create_time.ToDatetime() < newest.update_time.ToDatetime()


@pytest.mark.parametrize(
    ("kind", "mask", "changed", "kept"),
    [
        ("EMAIL", ("email.headers",), a_template(email={"headers": [{"name": "X-A", "value": "1"}]}), "email.subject"),
        ("EMAIL", ("email.list_unsubscribe",), T.Template(), "email.headers"),
        ("PUSH", ("push.apns",), a_template(push=a_push(apns={"body": "z"})), "push.gcm"),
        ("PUSH", ("push.web",), a_template(push=a_push(web={"title": "z", "image_url": "https://s.example/z"})), "push.gcm"),
        ("VOICE", ("voice.language",), a_template(voice={"language": "de-DE"}), "voice.body"),
        ("IN_APP", ("in_app.custom_config",), a_template(in_app={"custom_config": {"a": "b"}}), "in_app.contents"),
        ("EMAIL", ("lenient",), T.Template(lenient=False), "email.subject"),
    ],
)  # fmt: skip
async def test_a_mask_changes_what_it_names_and_nothing_else(
    service: Service, kind: str, mask: tuple[str, ...], changed: T.Template, kept: str
) -> None:
    before = await create(service, KINDS[kind])
    after = await update(service, changed, mask, mode=OVERWRITE)
    assert read(after, mask[0]) == read(changed, mask[0])
    assert read(after, kept) == read(before, kept)
    assert after != before
    assert await refusal(update(service, changed, ("push.pigeon", "kind"))) == (
        BAD,
        "INVALID_ARGUMENT",
        {"update_mask"},
    )


def read(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


async def test_versions_are_listed_newest_first_in_pages_without_their_contents(service: Service) -> None:
    await create(service, an_email(default_substitutions={"a": "b"}, description="the first", lenient=True))
    for index in range(2, 6):
        await update(service, an_email(f"{index}"), mode=ADD)
    first = await versions(service, page_size=3)
    rest = await versions(service, page_size=3, page_token=first.next_page_token)
    assert [one.version for one in first.versions] == [5, 4, 3]
    assert ([one.version for one in rest.versions], rest.next_page_token) == ([2, 1], "")
    oldest = rest.versions[-1]
    assert (oldest.description, dict(oldest.default_substitutions), oldest.lenient) == ("the first", {"a": "b"}, True)
    assert (oldest.updated_by, oldest.create_time) == ("tests", oldest.update_time)
    gone = service.templates.ListTemplateVersions(T.ListTemplateVersionsRequest(parent=f"{PARENT}/templates/gone"))
    assert await refusal(gone) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND", set())
    other = versions(service, page_token=(await service.templates.ListTemplates(
        T.ListTemplatesRequest(parent=PARENT, page_size=1))).next_page_token or "x")  # fmt: skip
    assert (await refusal(other))[1] == "PAGE_TOKEN_INVALID"


async def test_a_number_of_a_deleted_version_is_never_given_again(service: Service) -> None:
    await create(service, an_email())
    await update(service, an_email("two"), mode=ADD)
    await update(service, an_email("three"), mode=ADD)

    def delete(version: int) -> Any:
        return service.templates.DeleteTemplateVersion(T.DeleteTemplateVersionRequest(name=NAME, version=version))

    assert await refusal(delete(1)) == (NOT_NOW, "TEMPLATE_VERSION_ACTIVE", set())
    assert await refusal(delete(0)) == (BAD, "INVALID_ARGUMENT", {"version"})
    assert (await delete(3)).email.subject == "three"
    assert await refusal(delete(3)) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND", set())
    assert (await get(service)).latest_version == 2
    assert await refusal(update(service, an_email("x"), mode=OVERWRITE, version=3)) == (
        NOT_NOW, "TEMPLATE_VERSION_NOT_LATEST", set(),
    )  # fmt: skip
    assert (await update(service, an_email("four"), mode=ADD)).version == 4
    assert [one.version for one in (await versions(service)).versions] == [4, 2, 1]
    await delete(4)
    await delete(2)
    assert (await delete(1)).version == 1
    assert (await refusal(get(service)))[1] == "TEMPLATE_NOT_FOUND"
    assert (await create(service, an_email("anew"))).version == 1
    assert [one.version for one in (await versions(service)).versions] == [1]


async def test_a_template_holds_five_thousand_versions(service: Service) -> None:
    await create(service, an_email())
    columns = "project, id, incarnation, description, subject, html, text, body, default_substitutions, variables, "
    columns += "substitution_names, update_time, updated_by"
    copies = f"INSERT INTO messaging.template_versions (version, {columns}) SELECT n, {columns} FROM "
    copies += "messaging.template_versions, generate_series(2, 4999) n WHERE version = 1"
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text(copies))
        await conn.execute(text("UPDATE messaging.templates SET latest_version = 4999"))
    assert (await update(service, an_email("last"), mode=ADD)).version == 5000
    full = (NOT_NOW, "TEMPLATE_FULL", set[str]())
    assert await refusal(update(service, an_email("one more"), mode=ADD)) == full
    assert await refusal(update(service, an_email("one more"))) == full
    assert (await update(service, an_email("the same"), mode=OVERWRITE)).version == 5000
    await service.templates.DeleteTemplateVersion(T.DeleteTemplateVersionRequest(name=NAME, version=4000))
    assert (await update(service, an_email("one more"), mode=ADD)).version == 5001


async def test_messages_say_an_overwritten_version_at_once_and_a_deleted_template_to_the_end(service: Service) -> None:
    await service.set_up("EMAIL")
    await create(service, an_email())
    pages = 0

    async def said(**content: Any) -> str:
        nonlocal pages
        await service.dispatch(a_batch([f"a{pages}@x.com"], page=pages, template=NAME, **content))
        pages += 1
        await service.done(pages)
        return str(service.scripted.sent[-1].content.subject)  # type: ignore[union-attr]

    assert await said() == "one"
    await update(service, an_email("one again"), mode=OVERWRITE)
    assert await said() == "one again"
    await update(service, an_email("two"), mode=ADD)
    assert (await said(), await said(template_version=2)) == ("one again", "two")
    await service.templates.DeleteTemplateVersion(T.DeleteTemplateVersionRequest(name=NAME, version=2))
    assert await said(template_version=2) == "two"
    await service.templates.DeleteTemplate(T.DeleteTemplateRequest(name=NAME))
    assert (await said(), (await get(service, show_deleted=True)).email.subject) == ("one again", "one again")
    assert (await refusal(get(service)))[1] == "TEMPLATE_NOT_FOUND"
    listed = await service.templates.ListTemplates(T.ListTemplatesRequest(parent=PARENT))
    assert not listed.templates
    direct = messages_pb2.SendMessagesRequest(
        parent=PARENT, channel="EMAIL", content=dispatch_pb2.MessageContent(template=NAME),
        recipients=[messages_pb2.Recipient(address="a@x.com")],
    )  # fmt: skip
    assert (await refusal(service.messages.SendMessages(direct)))[1] == "TEMPLATE_NOT_FOUND"
    await create(service, an_email("anew"))
    assert await said() == "anew"
    rows = await service.rows()
    assert [row.template_version for row in rows] == [1, 1, 1, 2, 2, 1, 1]
