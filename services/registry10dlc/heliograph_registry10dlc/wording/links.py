"""Links in a text and whose host they have. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from heliograph_registry10dlc.wording.data import read
from heliograph_registry10dlc.wording.holes import HOLE, with_holes

_HOSTS = read("hosts")
SHORTENERS = frozenset(host for hosts in _HOSTS["shorteners"].values() for host in hosts)
"""Public link shorteners: carriers take no message with them (S131)."""
_TOP_LEVEL = frozenset(_HOSTS["top_level_domains"])
_SECOND_LEVEL = frozenset(_HOSTS["second_level_domains"])
# With a scheme anything is a host; without, words with dots between that no mail address and no other word holds.
_LINK = re.compile(
    r"""(?:https?://(?P<authority>[^\s/?\#<>"]*)|(?<![\w@.\-])(?P<bare>[^\W_][\w-]*(?:\.[\w-]+)+)(?![\w@-]|\.[\w-]))"""
    r"""(?P<rest>(?::[0-9]{1,5})?(?:[/?\#][^\s<>"]*)?)""",
    re.IGNORECASE,
)
EMAIL = re.compile(r"(?<![^\s@<>\"'(),;:])[^\s@<>\"'(),;:]+@[\w-]+(?:\.[\w-]+)+")
_END = ".,;:!?)]}'\"\u2019\u201d\u00bb"
_SHORT_HOST = 10
_SHORT_PATH = re.compile(rf"/(?:[\w-]{{1,12}}|[\w-]*{HOLE}[\w-]*)/?")


@dataclass(frozen=True)
class Link:
    """A link. `host` is in lower case without `www.` and port; empty when it varies."""

    text: str
    host: str
    path: str = ""

    @property
    def public_shortener(self) -> bool:
        """Whether it belongs to a public link shortener; a name in front of its host changes nothing."""
        return any(self.host == host or self.host.endswith(f".{host}") for host in SHORTENERS)

    @property
    def looks_short(self) -> bool:
        """Whether it looks made by a shortener: a host of two words and ten characters at most, one short word behind.

        The links of shorteners are 12 to 20 characters long. `example.com/abc` has 11 before the path and is none.
        """
        short_host = self.host.count(".") == 1 and len(self.host) <= _SHORT_HOST
        return short_host and _SHORT_PATH.fullmatch(self.path) is not None


def find_links(text: str) -> list[Link]:
    """Return the links of a text in their order. `example.com` is one, as phones make it one; `St.Louis` is none."""
    held, found = with_holes(text), []
    for match in _LINK.finditer(held):
        rest = match["rest"].rstrip(_END)
        path = re.sub(r"^:[0-9]+", "", rest)
        if match["authority"] is not None:
            found.append(Link(_shown(match, rest), _host(match["authority"].rstrip(_END)), path))
        elif _is_host(bare := match["bare"].lower(), path):
            found.append(Link(_shown(match, rest), bare.removeprefix("www."), path))
    return found


def host_of(address: str) -> str:
    """Return the host of a web or mail address; empty when it has none."""
    if "://" not in address and "@" in address:
        return address.rpartition("@")[2].strip().lower().rstrip(".")
    return next((link.host for link in find_links(address)), "")


def domain_of(host: str) -> str:
    """Return the part of a host that somebody registered: `shop.example.co.uk` belongs to `example.co.uk`.

    Without the public suffix list, which changes weekly: a country's usual second level (`co.uk`, `com.mx`) is known.
    """
    labels = host.removeprefix("www.").split(".")
    two = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3 if two else -2 :])


def without_links(text: str) -> str:
    """Return a text with holes, without its links and mail addresses."""
    return _LINK.sub(_blank, EMAIL.sub(" ", with_holes(text)))


def _blank(match: re.Match[str]) -> str:
    path = re.sub(r"^:[0-9]+", "", match["rest"])
    return " " if match["authority"] is not None or _is_host(match["bare"].lower(), path) else match[0]


def _is_host(bare: str, path: str) -> bool:
    top = bare.rpartition(".")[2]
    known = top in _TOP_LEVEL or bare in SHORTENERS or bare.startswith("www.")
    return known or (path.startswith("/") and len(top) >= 2 and top.isalpha())


def _host(authority: str) -> str:
    """Read the host out of what stands between `//` and the path; `bit.ly@example.com` is a user of example.com."""
    named = unicodedata.normalize("NFKC", authority).rpartition("@")[2].partition(":")[0].lower().rstrip(".")
    if HOLE in named:
        # What stands before the host's own domain may vary: `{{shop}}.example.com`.
        tail = named.rpartition(HOLE)[2]
        named = tail[1:] if tail.startswith(".") and "." in tail[1:] else ""
    return named.removeprefix("www.")


def _shown(match: re.Match[str], rest: str) -> str:
    whole = match[0][: len(match[0]) - len(match["rest"])] + rest
    return whole.rstrip(_END).replace(HOLE, "{…}")
