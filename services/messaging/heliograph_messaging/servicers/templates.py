"""gRPC face of templates."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from heliograph.messaging.v1 import templates_pb2, templates_pb2_grpc
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.content import Texts
from heliograph_messaging.service.templates import TemplateDraft, Templates
from heliograph_messaging.servicers.callers import caller
from heliograph_messaging.store.templates import StoredTemplate

_KINDS = {
    templates_pb2.TEMPLATE_KIND_UNSPECIFIED: "",
    templates_pb2.TEMPLATE_KIND_EMAIL: "EMAIL",
    templates_pb2.TEMPLATE_KIND_SMS: "SMS",
}
_OF_KIND = {kind: number for number, kind in _KINDS.items()}
_TEXTS = {"email.subject": "subject", "email.html": "html", "email.text": "text", "sms.body": "body"}
_MASKS = frozenset({"description", "email", "sms", "default_substitutions", *_TEXTS})


class TemplateServicer(templates_pb2_grpc.TemplateServiceServicer):
    """gRPC face of templates."""

    def __init__(self, templates: Templates) -> None:
        """Take the use cases."""
        self._templates = templates

    async def CreateTemplate(
        self, request: templates_pb2.CreateTemplateRequest, context: Any
    ) -> templates_pb2.Template:
        """Store a new template."""
        project = project_of(request.parent, field="parent")
        template = await self._templates.create(
            project,
            _draft(request.template),
            id=request.template_id,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
            by=caller(),
        )
        return _proto(template)

    async def GetTemplate(self, request: templates_pb2.GetTemplateRequest, context: Any) -> templates_pb2.Template:
        """Return a template."""
        name = parse_name(request.name, "templates")
        if request.version < 0:
            found = Violations()
            found.add("version", "must not be negative", "INVALID_ARGUMENT")
            found.check()
        return _proto(await self._templates.get(name.project, name.id, request.version))

    async def ListTemplates(
        self, request: templates_pb2.ListTemplatesRequest, context: Any
    ) -> templates_pb2.ListTemplatesResponse:
        """Return a page of templates."""
        project = project_of(request.parent, field="parent")
        call = f"ListTemplates {project}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found = await self._templates.list(project, after=after, size=page.size + 1)
        token = next_token(call, [found[page.size - 1].id]) if len(found) > page.size else ""
        return templates_pb2.ListTemplatesResponse(
            templates=[_proto(template) for template in found[: page.size]], next_page_token=token
        )

    async def UpdateTemplate(
        self, request: templates_pb2.UpdateTemplateRequest, context: Any
    ) -> templates_pb2.Template:
        """Add a version."""
        name = parse_name(request.template.name, "templates", field="template.name")
        change = _change(request.template, request.update_mask.paths)
        return _proto(await self._templates.update(name.project, name.id, change, by=caller()))

    async def DeleteTemplate(
        self, request: templates_pb2.DeleteTemplateRequest, context: Any
    ) -> templates_pb2.Template:
        """Delete a template."""
        name = parse_name(request.name, "templates")
        return _proto(await self._templates.delete(name.project, name.id))


def _draft(template: templates_pb2.Template) -> TemplateDraft:
    kind = _KINDS.get(template.kind, "")
    if not kind and template.HasField("email") != template.HasField("sms"):
        kind = "EMAIL" if template.HasField("email") else "SMS"
    return TemplateDraft(kind, template.description, _texts(template), dict(template.default_substitutions))


def _texts(template: templates_pb2.Template) -> Texts:
    return Texts(template.email.subject, template.email.html, template.email.text, template.sms.body)


def _change(template: templates_pb2.Template, mask: Collection[str]) -> Callable[[TemplateDraft], TemplateDraft]:
    """Return what makes the new draft out of the present one.

    Raises:
        InvalidArgument: the mask names a field that cannot be changed.
    """
    found = Violations()
    for path in sorted(set(mask) - _MASKS - {"*"}):
        found.add("update_mask", f"{path} cannot be updated", "INVALID_ARGUMENT")
    found.check()
    given = _draft(template)
    paths = set(mask)
    if "*" in paths:
        paths = {"description", "email", "sms", "default_substitutions"}
    elif not paths:
        whole = {"description": given.description, "default_substitutions": given.default_substitutions}
        paths = {path for path, value in whole.items() if value}
        paths |= {path for path in ("email", "sms") if template.HasField(path)}
    names = {name for path, name in _TEXTS.items() if path in paths or path.partition(".")[0] in paths}

    def change(present: TemplateDraft) -> TemplateDraft:
        texts = replace(present.texts, **{name: getattr(given.texts, name) for name in names})
        return TemplateDraft(
            present.kind,
            given.description if "description" in paths else present.description,
            texts,
            given.default_substitutions if "default_substitutions" in paths else present.default_substitutions,
        )

    return change


def _proto(template: StoredTemplate) -> templates_pb2.Template:
    proto = templates_pb2.Template(
        name=format_name(template.project, "templates", template.id),
        kind=_OF_KIND[template.kind],
        description=template.description,
        default_substitutions=template.default_substitutions,
        version=template.version,
        active_version=template.active_version,
        variables=template.variables,
        substitution_names=template.substitution_names,
        create_time=timestamp(template.create_time),
        update_time=timestamp(template.update_time),
        updated_by=template.updated_by,
    )
    if template.kind == "EMAIL":
        proto.email.CopyFrom(
            templates_pb2.EmailTemplate(subject=template.subject, html=template.html, text=template.text)
        )
    else:
        proto.sms.CopyFrom(templates_pb2.SmsTemplate(body=template.body))
    return proto
