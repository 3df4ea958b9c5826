"""What a caller says of a template, checked and compiled before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from heliograph_kit.errors import Violation, Violations
from heliograph_messaging.builders import all_parts
from heliograph_messaging.domain.contents import (
    Content,
    EmailText,
    InAppText,
    PushTexts,
    SmsText,
    VoiceText,
    to_json,
)
from heliograph_messaging.domain.handlebars import Compiled, DoesNotCompile, compile_parts
from heliograph_messaging.domain.in_app import in_app_problems
from heliograph_messaging.domain.limits import Problem, email_problems, push_problems, sms_problems, voice_problems
from heliograph_messaging.domain.paths import PathProblem, parse_variable
from heliograph_messaging.errors import TemplateDoesNotCompile
from heliograph_messaging.translate import FIELDS

MAX_DESCRIPTION_CHARACTERS = 500
MAX_DEFAULTS = 100
MAX_PATH_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 2_000
MAX_REQUEST_ID = 64

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_CALLED = {
    "EMAIL": "an e-mail template", "SMS": "an SMS template", "PUSH": "a push template", "VOICE": "a voice template",
    "IN_APP": "an in-app template",
}  # fmt: skip


@dataclass(frozen=True)
class TemplateDraft:
    """What a caller says of a template. `kind` is empty when the caller named none; then the content means nothing.

    `strangers` are fields of contents of other kinds that were given as well.
    """

    kind: str
    description: str
    content: Content
    default_substitutions: Mapping[str, str]
    lenient: bool = False
    strangers: frozenset[str] = field(default=frozenset())


def checked(draft: TemplateDraft, *, at: str = "template", template_id: str = "", request_id: str = "") -> Compiled:
    """Check everything that needs no database and compile. `at` is the request's field that holds the template.

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
        found.add(f"{at}.description", words, "INVALID_ARGUMENT")
    broken = any(
        "\0" in one for one in _texts([draft.description, draft.default_substitutions, to_json(draft.content)])
    )
    if broken:
        found.add(at, "must not hold the character NUL", "INVALID_ARGUMENT")
    _check_defaults(draft, f"{at}.default_substitutions", found)
    _check_content(draft, at, found)
    compiled = None
    mistakes: list[Violation] = []
    broken = broken or any(violation.reason == "TEMPLATE_TOO_LARGE" for violation in found.found)
    if draft.kind in FIELDS and not broken:
        try:
            compiled = compile_parts(all_parts(draft.content), strict=not draft.lenient)
        except DoesNotCompile as error:
            mistakes = [
                Violation(f"{at}.{FIELDS[draft.kind]}.{one.part}", str(one), TemplateDoesNotCompile.reason)
                for one in error.errors
            ]
    if mistakes:
        raise TemplateDoesNotCompile([*mistakes, *found.found])
    found.check()
    if compiled is None:
        raise AssertionError("a draft without violations compiles")
    return compiled


def canonical(defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults under the paths that variables have: without brackets and index."""
    return {parse_variable(path).path: value for path, value in defaults.items()}


def _check_content(draft: TemplateDraft, at: str, found: Violations) -> None:
    if draft.kind not in FIELDS:
        kinds = ", ".join(f"TEMPLATE_KIND_{kind}" for kind in FIELDS)
        found.add(f"{at}.kind", f"must be one of {kinds}", "INVALID_ARGUMENT")
        return
    for stranger in sorted(draft.strangers):
        found.add(f"{at}.{stranger}", f"does not belong to {_CALLED[draft.kind]}", "INVALID_ARGUMENT")
    for problem in content_problems(draft.content):
        found.add(f"{at}.{problem.field}", problem.words, problem.reason)
    if draft.kind == "IN_APP" and draft.lenient:
        found.add(f"{at}.lenient", "in-app templates have no variables", "INVALID_ARGUMENT")


def content_problems(content: Content) -> list[Problem]:
    """Check what a template holds; fields are those of Template."""
    match content:
        case EmailText():
            return email_problems(content, prefix="email.", whole="email")
        case SmsText():
            problems = sms_problems(content)
        case PushTexts():
            problems = push_problems(content)
        case VoiceText():
            problems = voice_problems(content)
        case InAppText():
            problems = in_app_problems(content)
    root = next(FIELDS[kind] for kind, of in _KINDS.items() if isinstance(content, of))
    return [problem._replace(field=".".join(name for name in (root, problem.field) if name)) for problem in problems]


_KINDS = {"SMS": SmsText, "PUSH": PushTexts, "VOICE": VoiceText, "IN_APP": InAppText}


def _check_defaults(draft: TemplateDraft, at: str, found: Violations) -> None:
    defaults = draft.default_substitutions
    if draft.kind == "IN_APP" and defaults:
        found.add(at, "in-app templates have no variables", "INVALID_ARGUMENT")
    if len(defaults) > MAX_DEFAULTS:
        found.add(at, f"must have at most {MAX_DEFAULTS} entries", "INVALID_ARGUMENT")
    for path, value in sorted(defaults.items()):
        if len(path) > MAX_PATH_CHARACTERS:
            found.add(at, f"a path has more than {MAX_PATH_CHARACTERS} characters", "INVALID_ARGUMENT")
            continue
        try:
            parse_variable(path)
        except PathProblem as problem:
            found.add(f"{at}[{path}]", str(problem), "INVALID_ARGUMENT")
        if len(value) > MAX_VALUE_CHARACTERS:
            words = f"the value has more than {MAX_VALUE_CHARACTERS:,} characters"
            found.add(f"{at}[{path}]", words, "INVALID_ARGUMENT")


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name)
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
