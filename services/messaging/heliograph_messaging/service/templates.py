"""Use cases over templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violation, Violations
from heliograph_kit.names import format_name
from heliograph_messaging.content import NoContent, Texts, parts_of
from heliograph_messaging.domain.paths import PathProblem, parse_variable
from heliograph_messaging.domain.templates import Compiled, DoesNotCompile, compile_parts
from heliograph_messaging.errors import TemplateDoesNotCompile, TemplateExists, TemplateNotFound
from heliograph_messaging.store.channels import RequestStore
from heliograph_messaging.store.templates import StoredTemplate, TemplateStore

MAX_EMAIL_CHARACTERS = 600_000
MAX_SMS_CHARACTERS = 1_600
MAX_SUBJECT_CHARACTERS = 998
MAX_DESCRIPTION_CHARACTERS = 500
MAX_DEFAULTS = 100
MAX_PATH_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 2_000
MAX_REQUEST_ID = 64

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_FIELDS = {"subject": "email.subject", "html": "email.html", "text": "email.text", "body": "sms.body"}


@dataclass(frozen=True)
class TemplateDraft:
    """What a caller says of a template. `kind` is EMAIL or SMS; empty when the caller named none."""

    kind: str
    description: str
    texts: Texts
    default_substitutions: Mapping[str, str]


class Templates:
    """Use cases over templates."""

    def __init__(
        self, database: Database, store: TemplateStore, requests: RequestStore, clock: Clock, ids: Callable[[], str]
    ) -> None:
        """Take the stores, the clock and what makes ids."""
        self._database = database
        self._store = store
        self._requests = requests
        self._clock = clock
        self._ids = ids

    async def create(
        self,
        project: str,
        draft: TemplateDraft,
        *,
        id: str,
        request_id: str,
        fingerprint: str,
        by: str,
    ) -> StoredTemplate:
        """Store a new template as version 1.

        Raises:
            InvalidArgument, TemplateDoesNotCompile: every violation of the draft.
            TemplateExists: the id is taken.
            RequestIdReused: the request id belongs to another request.
        """
        compiled = _checked(draft, template_id=id, request_id=request_id)
        now, chosen = self._clock.now(), id or self._ids()
        template = _stored(project, chosen, draft, compiled, version=1, incarnation=self._ids(), now=now, by=by)
        async with self._database.transaction() as conn:
            if request_id:
                kept = await self._requests.keep(
                    conn, project, "CreateTemplate", request_id, fingerprint, chosen.encode(), now
                )
                if kept is not None:
                    if kept[0] != fingerprint:
                        raise RequestIdReused(request_id)
                    first = await self._store.get(conn, project, kept[1].decode(), 1)
                    if first is None:
                        raise TemplateNotFound(format_name(project, "templates", kept[1].decode()))
                    return first
            if not await self._store.add(conn, template):
                raise TemplateExists(format_name(project, "templates", chosen))
        return template

    async def get(self, project: str, id: str, version: int = 0) -> StoredTemplate:
        """Return a template.

        Raises:
            TemplateNotFound: no such template or version.
        """
        async with self._database.transaction() as conn:
            template = await self._store.get(conn, project, id, version)
        if template is None:
            raise TemplateNotFound(format_name(project, "templates", id), version)
        return template

    async def list(self, project: str, *, after: str | None, size: int) -> Sequence[StoredTemplate]:
        """Return templates with ids above `after`, by id."""
        async with self._database.transaction() as conn:
            return await self._store.list(conn, project, after=after, size=size)

    async def update(
        self,
        project: str,
        id: str,
        change: Callable[[TemplateDraft], TemplateDraft],
        *,
        by: str,
    ) -> StoredTemplate:
        """Add a version with what `change` makes of the active one, and make it active. No change: no version.

        Raises:
            TemplateNotFound: no such template.
            InvalidArgument, TemplateDoesNotCompile: every violation of the result.
        """
        async with self._database.transaction() as conn:
            latest = await self._store.lock(conn, project, id)
            present = await self._store.get(conn, project, id) if latest is not None else None
            if latest is None or present is None:
                raise TemplateNotFound(format_name(project, "templates", id))
            draft = change(_draft(present))
            if draft == _draft(present):
                return present
            compiled = _checked(draft)
            template = _stored(
                project, id, draft, compiled, version=latest + 1, incarnation=present.incarnation,
                now=self._clock.now(), by=by,
            )  # fmt: skip
            template = replace(template, create_time=present.create_time)
            await self._store.add_version(conn, template)
        return template

    async def delete(self, project: str, id: str) -> StoredTemplate:
        """Delete a template with all its versions and return it as it was.

        Raises:
            TemplateNotFound: no such template.
        """
        async with self._database.transaction() as conn:
            await self._store.lock(conn, project, id)
            template = await self._store.get(conn, project, id)
            if template is None:
                raise TemplateNotFound(format_name(project, "templates", id))
            await self._store.delete(conn, project, id)
        return template


def _draft(template: StoredTemplate) -> TemplateDraft:
    texts = Texts(template.subject, template.html, template.text, template.body)
    return TemplateDraft(template.kind, template.description, texts, dict(template.default_substitutions))


def _stored(
    project: str, id: str, draft: TemplateDraft, compiled: Compiled, *, version: int, incarnation: str,
    now: datetime,
    by: str,
) -> StoredTemplate:  # fmt: skip
    texts = draft.texts
    return StoredTemplate(
        project=project, id=id, kind=draft.kind, version=version, active_version=version, incarnation=incarnation,
        description=draft.description, subject=texts.subject, html=texts.html, text=texts.text, body=texts.body,
        default_substitutions=_canonical(draft.default_substitutions), variables=compiled.fields(),
        substitution_names=compiled.names(), create_time=now, update_time=now, updated_by=by,
    )  # fmt: skip


def _canonical(defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults under the paths that variables have: without brackets and index."""
    return {parse_variable(path).path: value for path, value in defaults.items()}


def _checked(draft: TemplateDraft, *, template_id: str = "", request_id: str = "") -> Compiled:
    """Check everything that needs no database and compile.

    Raises:
        InvalidArgument, TemplateDoesNotCompile: with every violation.
    """
    found = Violations()
    if template_id and not _ID.fullmatch(template_id):
        words = "must begin with a letter or digit and hold up to 128 of A-Z, a-z, 0-9, _ and -"
        found.add("template_id", words, "INVALID_ARGUMENT")
    if len(request_id) > MAX_REQUEST_ID:
        found.add("request_id", f"must have at most {MAX_REQUEST_ID} characters", "INVALID_ARGUMENT")
    if len(draft.description) > MAX_DESCRIPTION_CHARACTERS:
        words = f"must have at most {MAX_DESCRIPTION_CHARACTERS} characters"
        found.add("template.description", words, "INVALID_ARGUMENT")
    _check_defaults(draft.default_substitutions, found)
    _check_texts(draft, found)
    compiled = None
    mistakes: list[Violation] = []
    if not any(violation.reason == "TEMPLATE_TOO_LARGE" for violation in found.found):
        try:
            compiled = compile_parts(parts_of(draft.kind, draft.texts)) if draft.kind in ("EMAIL", "SMS") else None
        except NoContent:
            pass  # the missing texts are among the violations already
        except DoesNotCompile as error:
            mistakes = [
                Violation(f"template.{_FIELDS[one.part]}", str(one), TemplateDoesNotCompile.reason)
                for one in error.errors
            ]
    if mistakes:
        raise TemplateDoesNotCompile([*mistakes, *found.found])
    found.check()
    if compiled is None:
        raise AssertionError("a draft without violations compiles")
    return compiled


def _check_texts(draft: TemplateDraft, found: Violations) -> None:
    texts = draft.texts
    if draft.kind == "EMAIL":
        if not texts.subject:
            found.add("template.email.subject", "is required", "INVALID_ARGUMENT")
        elif len(texts.subject) > MAX_SUBJECT_CHARACTERS:
            words = f"must have at most {MAX_SUBJECT_CHARACTERS} characters"
            found.add("template.email.subject", words, "TEMPLATE_TOO_LARGE")
        if "\n" in texts.subject or "\r" in texts.subject:
            found.add("template.email.subject", "must be one line", "INVALID_ARGUMENT")
        if not (texts.html or texts.text):
            found.add("template.email.html", "is required when there is no text part", "INVALID_ARGUMENT")
        size = len(texts.subject) + len(texts.html) + len(texts.text)
        if size > MAX_EMAIL_CHARACTERS:
            words = f"subject, HTML and text have {size:,} characters together, at most {MAX_EMAIL_CHARACTERS:,} fit"
            found.add("template.email", words, "TEMPLATE_TOO_LARGE")
        if texts.body:
            found.add("template.sms", "does not belong to an e-mail template", "INVALID_ARGUMENT")
    elif draft.kind == "SMS":
        if not texts.body:
            found.add("template.sms.body", "is required", "INVALID_ARGUMENT")
        elif len(texts.body) > MAX_SMS_CHARACTERS:
            words = f"has {len(texts.body):,} characters, at most {MAX_SMS_CHARACTERS:,} fit"
            found.add("template.sms.body", words, "TEMPLATE_TOO_LARGE")
        if texts.subject or texts.html or texts.text:
            found.add("template.email", "does not belong to an SMS template", "INVALID_ARGUMENT")
    else:
        found.add("template.kind", "must be TEMPLATE_KIND_EMAIL or TEMPLATE_KIND_SMS", "INVALID_ARGUMENT")


def _check_defaults(defaults: Mapping[str, str], found: Violations) -> None:
    field = "template.default_substitutions"
    if len(defaults) > MAX_DEFAULTS:
        found.add(field, f"must have at most {MAX_DEFAULTS} entries", "INVALID_ARGUMENT")
    for path, value in sorted(defaults.items()):
        if len(path) > MAX_PATH_CHARACTERS:
            found.add(field, f"a path has more than {MAX_PATH_CHARACTERS} characters", "INVALID_ARGUMENT")
            continue
        try:
            parse_variable(path)
        except PathProblem as problem:
            found.add(f"{field}[{path}]", str(problem), "INVALID_ARGUMENT")
        if len(value) > MAX_VALUE_CHARACTERS:
            words = f"the value has more than {MAX_VALUE_CHARACTERS:,} characters"
            found.add(f"{field}[{path}]", words, "INVALID_ARGUMENT")
