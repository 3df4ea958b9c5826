"""What a batch says: a stored template or inline content, compiled once and rendered for each recipient."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from heliograph_channels import Content, CustomContent, EmailContent, SmsContent
from heliograph_messaging.domain.templates import Compiled, Part, compile_parts
from heliograph_messaging.store.templates import StoredTemplate

_KEPT = 200
Build: TypeAlias = Callable[[tuple[str, ...]], Content]


class NoContent(ValueError):
    """There is nothing to send on this channel; the text says why."""


@dataclass(frozen=True)
class Texts:
    """The uncompiled texts of a message, whatever its kind; those of other kinds are empty."""

    subject: str = ""
    html: str = ""
    text: str = ""
    body: str = ""
    data: str = ""


@dataclass(frozen=True)
class Prepared:
    """Content ready to render for a page of recipients."""

    kind: str
    compiled: Compiled
    build: Build
    defaults: Mapping[str, str] = field(default_factory=dict)
    template_version: int = 0

    def render(self, values: Sequence[str]) -> Content:
        """Render for one recipient; one value for each of `compiled.variables`."""
        return self.build(self.compiled.render(values))


def parts_of(kind: str, texts: Texts) -> list[Part]:
    """Return what there is to compile for a channel of this kind.

    Raises:
        NoContent: nothing, or the kind is not supported.
    """
    if kind == "EMAIL":
        if not (texts.html or texts.text):
            raise NoContent("there is no e-mail content: neither an HTML part nor a text part")
        subject = Part("subject", texts.subject, one_line=True)
        return [subject, Part("html", texts.html, html=True), Part("text", texts.text)]
    if kind == "SMS":
        if not texts.body:
            raise NoContent("there is no SMS content: the body is empty")
        return [Part("body", texts.body)]
    if kind == "CUSTOM":
        return [Part("data", texts.data)]
    raise NoContent(f"content for {kind} is not supported yet")


class ContentCache:
    """Compiled content: stored templates by version, which never change, and inline content by its texts."""

    def __init__(self) -> None:
        """Start empty; the least recently used of 200 goes."""
        self._kept: OrderedDict[object, Prepared] = OrderedDict()

    def of_template(self, kind: str, template: StoredTemplate) -> Prepared:
        """Return a template's content for a channel of this kind.

        Raises:
            NoContent: the template is of another kind.
            DoesNotCompile: only for a version stored by another version of this service.
        """
        if template.kind != kind:
            raise NoContent(f"the template is of kind {template.kind}, the channel is {kind}")
        key = (template.project, template.id, template.version, template.incarnation)
        texts = Texts(template.subject, template.html, template.text, template.body)
        return self._get(key, kind, texts, template.default_substitutions, template.version)

    def of_texts(self, kind: str, texts: Texts) -> Prepared:
        """Return inline content.

        Raises:
            NoContent: there is none for this kind.
            DoesNotCompile: with every mistake.
        """
        return self._get((kind, texts), kind, texts, {}, 0)

    def _get(self, key: object, kind: str, texts: Texts, defaults: Mapping[str, str], version: int) -> Prepared:
        found = self._kept.get(key)
        if found is None:
            found = Prepared(kind, compile_parts(parts_of(kind, texts)), _BUILDERS[kind], defaults, version)
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found


def _email(parts: tuple[str, ...]) -> Content:
    return EmailContent(parts[0], parts[1], parts[2])


def _sms(parts: tuple[str, ...]) -> Content:
    return SmsContent(parts[0])


def _custom(parts: tuple[str, ...]) -> Content:
    return CustomContent(parts[0])


_BUILDERS: Mapping[str, Build] = {"EMAIL": _email, "SMS": _sms, "CUSTOM": _custom}
