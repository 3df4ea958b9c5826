"""What a batch says: a stored template, a message's own words, or both; compiled once and rendered for each recipient."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from heliograph_channels import Attachment, Content, EmailContent
from heliograph_messaging.builders import Build, builder, parts_of
from heliograph_messaging.domain.contents import PLATFORMS, EmailText, PushText, PushTexts, Said, platform_of
from heliograph_messaging.domain.contents import Content as Stored
from heliograph_messaging.domain.filled import CannotSend
from heliograph_messaging.domain.handlebars import (
    Compiled,
    CompileError,
    DoesNotCompile,
    Occasion,
    Page,
    RenderingFailed,
    compile_parts,
)
from heliograph_messaging.domain.inline import Inline, PushesSettings
from heliograph_messaging.domain.links import Marked
from heliograph_messaging.domain.paths import Variable
from heliograph_messaging.domain.precedence import choose
from heliograph_messaging.store.templates import StoredTemplate

_KEPT = 200
Marking: TypeAlias = Callable[[str], Marked | None]
"""Puts marks into the HTML of an e-mail where links go; None when there is no HTML."""


class NoContent(ValueError):
    """There is nothing to send on this channel; the text says why."""


@dataclass(frozen=True)
class Prepared:
    """Content ready to render for a page of recipients.

    `lenient`: a variable without value is left out instead of failing the message. `one_click`: each recipient gets the
    installation's own link for unsubscribing. `platforms`: what is said on which platform, of a notification. `marked`: the
    HTML with marks, when links are to be put into it.
    """

    kind: str
    compiled: Compiled
    build: Build
    defaults: Mapping[str, str] = field(default_factory=dict)
    template_version: int = 0
    lenient: bool = False
    one_click: bool = False
    platforms: Mapping[str, Prepared] = field(default_factory=dict)
    marked: Marked | None = None

    def page(self, columns: Sequence[Any], count: int) -> Letters:
        """Prepare a page of `count` recipients; one column for each of `compiled.variables`."""
        return Letters(self.compiled.page(columns, count), self.build)

    def on(self, channel_type: str) -> Prepared | None:
        """Return what is said to endpoints of a channel type, None when there is nothing for their platform."""
        return self if self.kind != "PUSH" else self.platforms.get(platform_of(channel_type))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Every variable, whatever the platform."""
        if self.kind != "PUSH":
            return self.compiled.variables
        return tuple(dict.fromkeys(one for part in self.platforms.values() for one in part.compiled.variables))

    def fields(self) -> list[str]:
        """Return the endpoint fields a page must carry as columns, sorted."""
        return sorted({variable.path for variable in self.variables if variable.is_endpoint_field})

    def with_files(self, attachments: Sequence[Attachment], raw: bytes) -> Prepared:
        """Return an e-mail with files, or a whole message instead. Never kept: files are large."""
        files, build = tuple(attachments), self.build

        def built(parts: tuple[str, ...]) -> Content:
            content = build(parts)
            return replace(content, attachments=files, raw=raw) if isinstance(content, EmailContent) else content

        return replace(self, build=built) if files or raw else self


@dataclass(frozen=True)
class Letters:
    """The contents of a page of recipients, each rendered when it is asked for."""

    page: Page
    build: Build

    def render(self, position: int, occasion: Occasion) -> Content:
        """Render for the recipient at a position.

        Raises:
            CannotSend: a value is missing, or with the values of this recipient it cannot be sent.
        """
        try:
            parts = self.page.render(position, occasion)
        except RenderingFailed as failed:
            raise CannotSend(str(failed)) from failed
        return self.build(parts)


class ContentCache:
    """Compiled content: stored templates by version and revision, a message's own words by what they are."""

    def __init__(self) -> None:
        """Start empty; the least recently used of 200 goes."""
        self._kept: OrderedDict[object, Prepared] = OrderedDict()

    def prepare(
        self, kind: str, inline: Inline, template: StoredTemplate | None = None, marking: Marking | None = None
    ) -> Prepared:
        """Return what is said on a channel of this kind, with marks for links where these are wanted.

        Raises:
            NoContent: there is nothing to say, or the template is of another kind.
            DoesNotCompile: with every mistake.
        """
        named = template and (
            template.project, template.id, template.version, template.incarnation, template.revision,
        )  # fmt: skip
        key = (kind, named, inline, marking is not None)
        found = self._kept.get(key)
        if found is None:
            found = prepare(kind, inline, template, marking)
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found


def prepare(kind: str, inline: Inline, template: StoredTemplate | None, marking: Marking | None = None) -> Prepared:
    """Compile what is said on a channel of this kind; `ContentCache` keeps what comes of it.

    Raises:
        NoContent: there is nothing to say, or the template is of another kind.
        DoesNotCompile: with every mistake.
    """
    if template is not None and template.kind != kind:
        raise NoContent(f"the template is of kind {template.kind}, the channel is {kind}")
    stored = template.content if template is not None else None
    if isinstance(inline.message, PushTexts):
        return _push(inline, inline.message, stored, template)
    below = None if stored is None or isinstance(stored, PushTexts) else stored
    said = choose(
        inline.message, overrides=inline.overrides, template=below, default_body=inline.default_body  # type: ignore[arg-type]
    )  # fmt: skip
    if not said.says_something:
        raise NoContent(_NOTHING.get(kind, f"content for {kind} is not supported"))
    marked = marking(said.html) if marking is not None and isinstance(said, EmailText) else None
    if marked is not None and isinstance(said, EmailText):
        said = replace(said, html=marked.source)
    return replace(_compiled(kind, said, inline.settings, template), marked=marked)


def _push(inline: Inline, message: PushTexts, stored: Stored | None, template: StoredTemplate | None) -> Prepared:
    platforms: dict[str, Prepared] = {}
    mistakes: dict[tuple[str, str], CompileError] = {}
    settings = inline.settings if isinstance(inline.settings, PushesSettings) else PushesSettings()
    for platform in ("", *PLATFORMS):
        own = settings.on(platform)
        said = choose(
            getattr(message, platform) if platform else PushText(),
            overrides=inline.overrides,
            template=stored.on(platform) if isinstance(stored, PushTexts) else None,
            default_message=message.default,
            default_body=inline.default_body,
        )
        if said.says_something or (own.silent and own.data):
            try:
                platforms[platform] = _compiled("PUSH", said, own, template, platform)
            except DoesNotCompile as error:
                # A mistake in what all platforms share is told once, of the first.
                for one in error.errors:
                    mistakes.setdefault((one.part.rpartition(".")[2], str(one)), one)
    if mistakes:
        raise DoesNotCompile(list(mistakes.values()))
    if not platforms:
        raise NoContent(_NOTHING["PUSH"])
    return replace(next(iter(platforms.values())), platforms=platforms)


def _compiled(kind: str, said: Said, settings: object, template: StoredTemplate | None, platform: str = "") -> Prepared:
    own_link = isinstance(said, EmailText) and said.one_click and not said.unsubscribe_url
    return Prepared(
        kind,
        compile_parts(parts_of(said, platform), strict=not (template and template.lenient)),
        builder(said, settings, platform),
        template.default_substitutions if template else {},
        template.version if template else 0,
        template.lenient if template else False,
        own_link,
    )


_NOTHING: Mapping[str, str] = {
    "EMAIL": "there is no e-mail content: neither an HTML part nor a text part",
    "SMS": "there is no SMS content: the body is empty",
    "PUSH": "there is no push content: no part has a title or a body",
    "VOICE": "there is no voice content: the body is empty",
}
