"""gRPC face of templates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from heliograph.messaging.v1 import templates_pb2, templates_pb2_grpc
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.service.drafts import TemplateDraft
from heliograph_messaging.service.preview import Asked, Previews
from heliograph_messaging.service.templates import Templates, UpdateMode
from heliograph_messaging.servicers.callers import caller
from heliograph_messaging.servicers.previews import preview_proto
from heliograph_messaging.store.templates import StoredTemplate, StoredVersion
from heliograph_messaging.translate import FIELDS, read_content, write_content

_KINDS = {
    templates_pb2.TEMPLATE_KIND_UNSPECIFIED: "",
    **{templates_pb2.TemplateKind.Value(f"TEMPLATE_KIND_{kind}"): kind for kind in FIELDS},
}
_OF_KIND = {kind: number for number, kind in _KINDS.items()}
_MODES = {
    templates_pb2.TEMPLATE_UPDATE_MODE_UNSPECIFIED: UpdateMode.ADD_AND_ACTIVATE,
    templates_pb2.TEMPLATE_UPDATE_MODE_OVERWRITE_LATEST: UpdateMode.OVERWRITE_LATEST,
    templates_pb2.TEMPLATE_UPDATE_MODE_ADD_VERSION: UpdateMode.ADD,
}
_SHARED = frozenset({"description", "lenient", "default_substitutions"})
_MEMBERS: dict[str, tuple[str, ...]] = {
    "email.subject": ("subject",), "email.html": ("html",), "email.text": ("text",), "email.headers": ("headers",),
    "email.list_unsubscribe": ("one_click", "unsubscribe_url"), "sms.body": ("body",),
    "push.default_part": ("default",), "push.apns": ("apns",), "push.gcm": ("gcm",), "push.adm": ("adm",),
    "push.baidu": ("baidu",), "push.web": ("web",),
    "voice.body": ("body",), "voice.language": ("language",), "voice.voice": ("voice",),
    "in_app.contents": ("contents",), "in_app.layout": ("layout",), "in_app.custom_config": ("custom_config",),
}  # fmt: skip
"""What an update mask may name below a content, and the members of the domain's class that it means."""
_MASKS = _SHARED | set(FIELDS.values()) | set(_MEMBERS)
_MOST_BYTES = 3 * 1024 * 1024
"""Of a page of templates; an answer holds at most 4 MiB."""


class TemplateServicer(templates_pb2_grpc.TemplateServiceServicer):
    """gRPC face of templates."""

    def __init__(self, templates: Templates, previews: Previews) -> None:
        """Take the use cases."""
        self._templates = templates
        self._previews = previews

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
        _check_version(request.version)
        found = await self._templates.get(name.project, name.id, request.version, deleted=request.show_deleted)
        return _proto(found)

    async def ListTemplates(
        self, request: templates_pb2.ListTemplatesRequest, context: Any
    ) -> templates_pb2.ListTemplatesResponse:
        """Return a page of templates, as many as fit into an answer."""
        project, kind, prefix = project_of(request.parent, field="parent"), _KINDS.get(request.kind), request.id_prefix
        call = f"ListTemplates {project} {kind} {prefix}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found: Sequence[StoredTemplate] = []
        if kind is not None:
            found = await self._templates.list(project, after=after, size=page.size + 1, kind=kind, prefix=prefix)
        templates = _fitting([_proto(template) for template in found[: page.size]])
        token = next_token(call, [found[len(templates) - 1].id]) if len(found) > len(templates) else ""
        return templates_pb2.ListTemplatesResponse(templates=templates, next_page_token=token)

    async def UpdateTemplate(
        self, request: templates_pb2.UpdateTemplateRequest, context: Any
    ) -> templates_pb2.Template:
        """Add a version or overwrite the latest."""
        name = parse_name(request.template.name, "templates", field="template.name")
        mode = _mode(request)
        change = _change(request.template, request.update_mask.paths)
        return _proto(
            await self._templates.update(name.project, name.id, change, mode=mode, version=request.version, by=caller())
        )

    async def DeleteTemplate(
        self, request: templates_pb2.DeleteTemplateRequest, context: Any
    ) -> templates_pb2.Template:
        """Delete a template."""
        name = parse_name(request.name, "templates")
        return _proto(await self._templates.delete(name.project, name.id))

    async def ListTemplateVersions(
        self, request: templates_pb2.ListTemplateVersionsRequest, context: Any
    ) -> templates_pb2.ListTemplateVersionsResponse:
        """Return a page of versions, newest first."""
        name = parse_name(request.parent, "templates", field="parent")
        call = f"ListTemplateVersions {name}"
        page = page_of(call, request.page_size, request.page_token)
        before = int(page.after[0]) if page.after else None
        found = await self._templates.versions(name.project, name.id, before=before, size=page.size + 1)
        versions = [_version(version) for version in found[: page.size]]
        token = next_token(call, [str(versions[-1].version)]) if len(found) > page.size else ""
        return templates_pb2.ListTemplateVersionsResponse(versions=versions, next_page_token=token)

    async def SetActiveVersion(
        self, request: templates_pb2.SetActiveVersionRequest, context: Any
    ) -> templates_pb2.Template:
        """Make a version the active one."""
        name = parse_name(request.name, "templates")
        if not request.latest:
            _check_version(request.version, least=1, otherwise="; or set latest")
        return _proto(await self._templates.activate(name.project, name.id, request.version))

    async def DeleteTemplateVersion(
        self, request: templates_pb2.DeleteTemplateVersionRequest, context: Any
    ) -> templates_pb2.Template:
        """Delete a version."""
        name = parse_name(request.name, "templates")
        _check_version(request.version, least=1)
        return _proto(await self._templates.delete_version(name.project, name.id, request.version))

    async def PreviewTemplate(
        self, request: templates_pb2.PreviewTemplateRequest, context: Any
    ) -> templates_pb2.PreviewTemplateResponse:
        """Show what a template would say."""
        stored = request.WhichOneof("source") == "template"
        name = parse_name(request.template, "templates", field="template") if stored else None
        asked = Asked(
            project=project_of(request.parent, field="parent"),
            template=name,
            version=request.version,
            draft=None if stored else _draft(request.draft),
            endpoint_id=request.endpoint_id,
            substitutions=dict(request.substitutions),
            platform=request.platform,
            sample=list(request.sample_endpoint_ids),
        )
        return preview_proto(await self._previews.preview(asked))


def _check_version(version: int, *, least: int = 0, otherwise: str = "") -> None:
    found = Violations()
    if version < least:
        words = f"must be at least {least}" if least else "must not be negative"
        found.add("version", words + otherwise, "INVALID_ARGUMENT")
    found.check()


def _mode(request: templates_pb2.UpdateTemplateRequest) -> UpdateMode:
    found = Violations()
    mode = _MODES.get(request.mode)
    if mode is None:
        found.add("mode", "is no mode", "INVALID_ARGUMENT")
    if request.version < 0 or (request.version and mode is not UpdateMode.OVERWRITE_LATEST):
        words = "must not be negative, and goes with TEMPLATE_UPDATE_MODE_OVERWRITE_LATEST alone"
        found.add("version", words, "INVALID_ARGUMENT")
    found.check()
    return mode or UpdateMode.ADD_AND_ACTIVATE


def _fitting(templates: Sequence[templates_pb2.Template]) -> list[templates_pb2.Template]:
    """Return as many of the first templates as an answer holds, and at least one."""
    fitting: list[templates_pb2.Template] = []
    size = 0
    for template in templates:
        size += template.ByteSize()
        if fitting and size > _MOST_BYTES:
            break
        fitting.append(template)
    return fitting


def _draft(template: templates_pb2.Template) -> TemplateDraft:
    given = {field for field in FIELDS.values() if template.HasField(field)}  # type: ignore[arg-type]
    kind = _KINDS.get(template.kind, "")
    if not template.kind and len(given) == 1:
        kind = next(kind for kind, field in FIELDS.items() if field in given)
    return TemplateDraft(
        kind,
        template.description,
        read_content(kind, template),
        dict(template.default_substitutions),
        template.lenient,
        frozenset(given - {FIELDS.get(kind, "")}),
    )


def _change(template: templates_pb2.Template, mask: Collection[str]) -> Callable[[TemplateDraft], TemplateDraft]:
    """Return what makes the new draft out of the present one.

    Raises:
        InvalidArgument: the mask names a field that cannot be changed.
    """
    found = Violations()
    for path in sorted(set(mask) - _MASKS - {"*"}):
        found.add("update_mask", f"{path} cannot be updated", "INVALID_ARGUMENT")
    found.check()
    given = {field for field in FIELDS.values() if template.HasField(field)}  # type: ignore[arg-type]
    paths = set(mask)
    if not paths:
        paths = given | {field for field in _SHARED if getattr(template, field)}

    def change(present: TemplateDraft) -> TemplateDraft:
        own = FIELDS[present.kind]
        chosen = (given | _SHARED | {own}) if "*" in paths else paths
        content = offered = read_content(present.kind, template)
        if own not in chosen:
            names = [name for path in chosen if path.partition(".")[0] == own for name in _MEMBERS[path]]
            content = replace(present.content, **{name: getattr(offered, name) for name in names})
        changed = replace(
            present,
            content=content,
            strangers=frozenset({path.partition(".")[0] for path in chosen} - _SHARED - {own}),
        )
        if "default_substitutions" in chosen:
            changed = replace(changed, default_substitutions=dict(template.default_substitutions))
        shared = {name: getattr(template, name) for name in ("description", "lenient") if name in chosen}
        return replace(changed, **shared)

    return change


def _proto(template: StoredTemplate) -> templates_pb2.Template:
    proto = templates_pb2.Template(
        name=format_name(template.project, "templates", template.id),
        kind=_OF_KIND[template.kind],
        description=template.description,
        default_substitutions=template.default_substitutions,
        lenient=template.lenient,
        version=template.version,
        active_version=template.active_version,
        latest_version=template.latest_version,
        revision=template.revision,
        variables=template.variables,
        substitution_names=template.substitution_names,
        create_time=timestamp(template.create_time),
        update_time=timestamp(template.update_time),
        updated_by=template.updated_by,
    )
    write_content(proto, template.content)
    return proto


def _version(version: StoredVersion) -> templates_pb2.TemplateVersion:
    return templates_pb2.TemplateVersion(
        version=version.version,
        description=version.description,
        default_substitutions=version.default_substitutions,
        lenient=version.lenient,
        active=version.active,
        revision=version.revision,
        create_time=timestamp(version.create_time),
        update_time=timestamp(version.update_time),
        updated_by=version.updated_by,
    )
