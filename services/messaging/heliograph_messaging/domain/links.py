"""Links in the HTML of e-mail: found once in a template, replaced for each recipient by cutting the text at marks.

Nobody parses HTML for each recipient. `mark` puts a mark at each link of the template's source, which goes through the
template language as any other text; `Rewriting` cuts the rendered text at the marks and puts addresses between. Only what
a template lets in without escaping (`{{{`, `{{&`) has to be searched in the rendered text.

Left alone: everything but `http` and `https`, links with the attribute `data-heliograph-no-track` or `ses:no-track`, and
our own. A link with `ses:tags="unsubscribeLinkTag:..."` counts as an unsubscription when it is followed (pinpoint-2 2.2).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from heliograph_messaging.domain.tracking import MAX_TARGET_BYTES, LinkKind, Signer, Stamp

_TAG = re.compile(r"<(?:a|area|v:[a-z]+)(?=[\s/])", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""[^\s=>"'/{]+""")
_EQUALS = re.compile(r"\s*=\s*")
_STOPS = {'"': re.compile(r'\{\{|"'), "'": re.compile(r"\{\{|'"), "": re.compile(r"\{\{|[\s>]")}
_WEB = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)
_RAW = re.compile(r"\{\{\{|\{\{~?&")
_BODY_END = re.compile(r"</body", re.IGNORECASE)
_NO_TRACK = frozenset({"data-heliograph-no-track", "ses:no-track"})
_MAX_LINKS = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """The value of one `href`: where it stands in the text, and what following it means."""

    start: int
    end: int
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A link that is the same for every recipient. `written` is its value as it stood in the template."""

    written: str
    target: str
    kind: LinkKind


@dataclass(frozen=True)
class Marked:
    """A template's HTML with marks. `raw`: it lets in text without escaping, which may hold links of its own."""

    source: str
    mark: str
    raw: bool
    fixed: Mapping[str, _Fixed] = field(default_factory=dict)
    varying: Mapping[str, LinkKind] = field(default_factory=dict)


def find_links(text: str, *, template: bool) -> Iterator[Found]:
    """Yield the links that may be followed through us, in order. `template`: `{{...}}` may hold quotes and `>`.

    Linear in the length of the text, whatever it is: each character is looked at once.
    """
    position = 0
    while (tag := _TAG.search(text, position)) is not None:
        attributes, position = _attributes(text, tag.end(), template=template)
        if not _NO_TRACK.isdisjoint(attributes) or "href" not in attributes:
            continue
        start, end = attributes["href"]
        tags = text[slice(*attributes.get("ses:tags", (0, 0)))]
        names = {pair.partition(":")[0].strip().lower() for pair in tags.split(";")}
        kind = LinkKind.UNSUBSCRIBE_CLICK if "unsubscribelinktag" in names else LinkKind.CLICK
        yield Found(start, end, kind)


def _attributes(text: str, position: int, *, template: bool) -> tuple[dict[str, tuple[int, int]], int]:
    """Return where the values of a tag's attributes stand, by name in lower case, and where the tag ends."""
    found: dict[str, tuple[int, int]] = {}
    while position < len(text):
        if text[position] == ">":
            return found, position + 1
        if template and text.startswith("{{", position):
            position = _past(text, position)
            continue
        name = _ATTRIBUTE.match(text, position)
        if name is None:
            position += 1
            continue
        position = name.end()
        value = (position, position)
        if equals := _EQUALS.match(text, position):
            quote = text[equals.end()] if text[equals.end() : equals.end() + 1] in ('"', "'") else ""
            value = _value(text, equals.end() + len(quote), quote, template=template)
            position = value[1] + len(quote)
        found.setdefault(name[0].lower(), value)
    return found, position


def _value(text: str, start: int, quote: str, *, template: bool) -> tuple[int, int]:
    position = start
    while (stop := _STOPS[quote].search(text, position)) is not None:
        if stop[0] != "{{":
            return start, stop.start()
        position = _past(text, stop.start()) if template else stop.end()
    return start, len(text)


def _past(text: str, position: int) -> int:
    """Return where an expression of the template language that begins here ends."""
    closing = "}}}" if text.startswith("{{{", position) else "}}"
    end = text.find(closing, position + 2)
    return len(text) if end < 0 else end + len(closing)


def target_of(written: str, base_url: str) -> str:
    """Return where a link leads, from the text of its attribute; empty when it is none that we follow for people."""
    target = html.unescape(written).strip()
    if not _WEB.match(target) or target.startswith(f"{base_url}/") or not target.isprintable():
        return ""
    return target if len(target.encode("utf-8", "replace")) <= MAX_TARGET_BYTES else ""


def mark(source: str, mark: str, base_url: str) -> Marked:
    """Put marks at the links of a template's HTML and where the picture that tells of opens goes.

    `mark` is a word of letters and digits that nobody outside of this process knows, so that no value can hold it.
    """
    pieces: list[str] = []
    fixed: dict[str, _Fixed] = {}
    varying: dict[str, LinkKind] = {}
    position = 0
    end = max((found.start() for found in _BODY_END.finditer(source)), default=len(source))
    links = [link for number, link in enumerate(find_links(source, template=True)) if number < _MAX_LINKS]
    for number, link in enumerate(links):
        if position <= end <= link.start:
            pieces.append(f"{source[position:end]}{mark}o.")
            position = end
        written = source[link.start : link.end]
        pieces.append(source[position : link.start])
        position = link.end
        if "{{" in written:
            varying[str(number)] = link.kind
            pieces.append(f"{mark}{number}.{written}{mark}e.")
        elif target := target_of(written, base_url):
            fixed[str(number)] = _Fixed(written, target, link.kind)
            pieces.append(f"{mark}{number}.")
        else:
            pieces.append(written)
    if position <= end:
        pieces.append(f"{source[position:end]}{mark}o.")
        position = end
    pieces.append(source[position:])
    return Marked("".join(pieces), mark, _RAW.search(source) is not None, fixed, varying)


class Rewriting:
    """Puts the links of one message after the other into the rendered HTML of a marked template."""

    def __init__(self, marked: Marked, signer: Signer, *, opens: bool, clicks: bool) -> None:
        """Take the template and what signs; prepare everything that is the same for all recipients."""
        self._marked = marked
        self._signer = signer
        self._clicks = clicks
        self._open = signer.stamp(LinkKind.OPEN) if opens else None
        self._stamps: dict[str, Stamp | str] = {
            number: signer.stamp(link.kind, link.target) if clicks else link.written
            for number, link in marked.fixed.items()
        }

    def html(self, rendered: str, message_id: str) -> str:
        """Return the HTML of one message, given the text that the marked template rendered to for its recipient."""
        message = bytes.fromhex(message_id)
        first, *pieces = rendered.split(self._marked.mark)
        text = [first]
        inside: LinkKind | None = None
        for piece in pieces:
            number, _, rest = piece.partition(".")
            stamp = self._stamps.get(number)
            if stamp is not None:
                text.append(stamp if isinstance(stamp, str) else stamp.url(message))
            elif number == "o":
                text.append(self._picture(message))
            elif inside is None and number in self._marked.varying:
                inside = self._marked.varying[number]
                rest = self._followed(rest, inside, message)
            else:
                inside = None
            text.append(rest)
        whole = "".join(text)
        return self._searched(whole, message) if self._marked.raw and self._clicks else whole

    def _picture(self, message: bytes) -> str:
        if self._open is None:
            return ""
        return f'<img src="{self._open.url(message)}" alt="" width="1" height="1" border="0">'

    def _followed(self, written: str, kind: LinkKind, message: bytes) -> str:
        target = target_of(written, self._signer.base_url) if self._clicks else ""
        return self._signer.stamp(kind, target).url(message) if target else written

    def _searched(self, text: str, message: bytes) -> str:
        pieces: list[str] = []
        position = 0
        for link in find_links(text, template=False):
            pieces.append(text[position : link.start])
            pieces.append(self._followed(text[link.start : link.end], link.kind, message))
            position = link.end
        return "".join((*pieces, text[position:]))
