"""messaging signs, the gateway reads: two programs, one contract (edge.proto)."""

from __future__ import annotations

import base64
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_gateway.domain.callers import is_person
from heliograph_gateway.domain.tokens import LinkKind, location_of, read_token
from heliograph_messaging.domain import tracking

pytestmark = pytest.mark.unit

TODAY = date(2026, 3, 4)
KEYS = st.binary(min_size=32, max_size=32)
PROJECTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
TARGETS = st.from_regex(r"https?://[a-z.]{1,20}/[!-~]{0,60}", fullmatch=True) | st.just("https://é.example/ü?ö")


def token_of(kind: int, target: str, *, key: bytes, project: str = "shop", days: int = 10) -> str:
    signer = tracking.Signer(key, "https://x", project, today=TODAY, click_days=days)
    url = signer.stamp(tracking.LinkKind(kind), target).url(bytes(range(16)))
    return url.rsplit("/", 1)[1].removesuffix(".gif")


@given(KEYS, PROJECTS, TARGETS, st.sampled_from(LinkKind))
@settings(max_examples=300)
def test_the_gateway_reads_what_messaging_signs(key: bytes, project: str, target: str, kind: LinkKind) -> None:
    clicked = target if kind in (LinkKind.CLICK, LinkKind.UNSUBSCRIBE_CLICK) else ""
    link = read_token(token_of(kind, clicked, key=key, project=project), [key], {kind}, today=TODAY)
    assert link is not None
    assert (link.kind, link.target) == (kind, clicked)


@given(KEYS, TARGETS, st.data())
@settings(max_examples=300)
def test_both_refuse_a_token_with_a_character_changed(key: bytes, target: str, data: st.DataObject) -> None:
    token = token_of(LinkKind.CLICK, target, key=key)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCabc019-_").filter(lambda character: character != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    assert read_token(changed, [key], set(LinkKind), today=TODAY) is None
    assert tracking.read_token(changed, [key], today=TODAY) is None


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@settings(max_examples=300)
def test_what_nobody_signed_says_nothing(text: str) -> None:
    assert read_token(text, [bytes(32)], set(LinkKind), today=TODAY) is None


def test_a_link_is_followed_until_its_last_day_and_is_of_the_kind_asked_for() -> None:
    token = token_of(LinkKind.CLICK, "https://x.example", key=bytes(32))
    for days, good in ((10, True), (11, False)):
        link = read_token(token, [bytes(32)], {LinkKind.CLICK}, today=TODAY + timedelta(days=days))
        assert (link is not None) == good
    assert read_token(token, [bytes(32)], {LinkKind.UNSUBSCRIBE, LinkKind.OPEN}, today=TODAY) is None


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "//evil.example", "/local", "https:///x", "data:text/html,x", ""]
)
def test_even_a_signed_link_leads_to_the_web_only(target: str) -> None:
    token = token_of(LinkKind.CLICK, target, key=bytes(32))
    assert read_token(token, [bytes(32)], {LinkKind.CLICK}, today=TODAY) is None


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("https://x.example/a;b?c=%20&d=[1]#e~f", "https://x.example/a;b?c=%20&d=[1]#e~f"),
        ("HTTPS://u:p@x.example:8443/", "https://u:p@x.example:8443/"),
        ("https://bücher.example/ü?ö=ß", "https://xn--bcher-kva.example/%C3%BC?%C3%B6=%C3%9F"),
        ('https://x.example/a b"<>\\^`{|}', "https://x.example/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("https://x.example/\r\nSet-Cookie: a=b", "https://x.example/%0D%0ASet-Cookie:%20a=b"),
    ],
    ids=["nothing to do", "user and port", "not ascii", "characters of no address", "another header"],
)
def test_a_target_stands_in_a_header_as_it_must(target: str, location: str) -> None:
    assert location_of(target) == location


@pytest.mark.parametrize(
    ("method", "headers", "person"),
    [
        ("GET", {}, True),
        ("GET", {"purpose": "prefetch"}, False),
        ("GET", {"sec-purpose": "prefetch;prerender"}, False),
        ("GET", {"x-moz": "prefetch"}, False),
        ("GET", {"x-purpose": "preview"}, False),
        ("HEAD", {}, False),
    ],
)
def test_who_says_that_nobody_is_looking_is_believed(method: str, headers: dict[str, str], person: bool) -> None:
    assert is_person(method, headers) == person
