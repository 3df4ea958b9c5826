"""Tokens of tracked links, and how links get into the HTML of e-mail: pure, fast, and nothing to be forged."""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_messaging.domain.handlebars import Occasion, Part, compile_parts
from heliograph_messaging.domain.links import Marked, Rewriting, find_links, mark, target_of
from heliograph_messaging.domain.tracking import MAX_TARGET_BYTES, Link, LinkKind, Signer, read_token

pytestmark = pytest.mark.unit

KEY = bytes(range(32))
BASE = "https://mail.example"
TODAY = date(2026, 3, 4)
ID = "0123456789abcdef0123456789abcdef"
MARK = "hg5e1f"
OCCASION = Occasion(datetime(2026, 3, 4, tzinfo=UTC), ID)


def a_signer(key: bytes = KEY, project: str = "shop", *, today: date = TODAY, click_days: int = 730) -> Signer:
    return Signer(key, BASE, project, today=today, click_days=click_days)


def a_token(kind: LinkKind = LinkKind.CLICK, target: str = "https://a.example/x", signer: Signer | None = None) -> str:
    return token_of((signer or a_signer()).stamp(kind, target).url(bytes.fromhex(ID)))


def token_of(url: str) -> str:
    return url.rsplit("/", 1)[1].removesuffix(".gif")


def read(token: str, *keys: bytes, today: date = TODAY) -> Link | None:
    return read_token(token, keys or (KEY,), today=today)


# -- tokens


@pytest.mark.parametrize("kind", LinkKind)
@pytest.mark.parametrize("project", ["a", "ab", "abc", "p" * 64])
@pytest.mark.parametrize("target", ["https://a.example", "https://a.example/é?x=1&y=2#z", "https://a.example/abc"])
def test_a_token_says_what_was_signed(kind: LinkKind, project: str, target: str) -> None:
    clicked = target if kind in (LinkKind.CLICK, LinkKind.UNSUBSCRIBE_CLICK) else ""
    token = a_token(kind, clicked, a_signer(project=project))
    assert read(token) == Link(kind, project, ID, clicked)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)


@pytest.mark.parametrize("kind", LinkKind)
def test_a_token_with_any_character_changed_is_forged(kind: LinkKind) -> None:
    token = a_token(kind)
    for place in range(len(token)):
        for other in "Ab0_":
            if other != token[place]:
                assert read(token[:place] + other + token[place + 1 :]) is None


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,400}", fullmatch=True))
@settings(max_examples=300)
def test_what_nobody_signed_says_nothing(text: str) -> None:
    assert read(text) is None


@given(st.binary(min_size=0, max_size=120))
@settings(max_examples=300)
def test_no_bytes_before_the_signature_make_a_token(raw: bytes) -> None:
    assert read(base64.urlsafe_b64encode(raw + b"\0" * (-len(raw) % 3)).decode()) is None


def test_a_token_of_another_key_or_installation_is_forged() -> None:
    other = bytes(32)
    token = a_token(signer=a_signer(other))
    assert read(token) is None
    assert read(token, KEY, other) is not None


def test_a_key_with_the_same_name_does_not_make_a_token_good() -> None:
    named: dict[int, bytes] = {}
    for number in range(2000):
        key = number.to_bytes(32, "big")
        name = base64.urlsafe_b64decode(a_token(signer=a_signer(key)))[1]
        if name in named:
            assert read(a_token(signer=a_signer(key)), named[name]) is None
            assert read(a_token(signer=a_signer(key)), named[name], key) is not None
            return
        named[name] = key
    pytest.fail("no two keys of one name among 2,000")


@pytest.mark.parametrize("kind", LinkKind)
def test_clicks_expire_and_nothing_else_does(kind: LinkKind) -> None:
    token = a_token(kind, signer=a_signer(click_days=10))
    expires = kind in (LinkKind.CLICK, LinkKind.UNSUBSCRIBE_CLICK)
    assert read(token, today=TODAY + timedelta(days=10)) is not None
    assert (read(token, today=TODAY + timedelta(days=11)) is None) == expires


def test_one_message_has_other_tokens_than_the_next_and_one_kind_other_than_the_next() -> None:
    stamp = a_signer().stamp(LinkKind.CLICK, "https://a.example")
    tokens = {stamp.url(bytes.fromhex(ID)), stamp.url(bytes(16)), a_token(LinkKind.OPEN), a_token(LinkKind.UNSUBSCRIBE)}
    assert len(tokens) == 4


def test_the_address_to_opt_out_at_is_made_for_a_message() -> None:
    url = a_signer().unsubscribe_url(ID)
    assert url.startswith(f"{BASE}/u/")
    assert read(token_of(url)) == Link(LinkKind.UNSUBSCRIBE, "shop", ID)


# -- finding links


@pytest.mark.parametrize(
    ("html", "values"),
    [
        pytest.param('<a href="https://x">', ["https://x"], id="double quotes"),
        pytest.param("<A class=b HREF = 'https://x'>", ["https://x"], id="single quotes, blanks, capitals"),
        pytest.param("<a href=https://x/y title=z>", ["https://x/y"], id="no quotes"),
        pytest.param('<a\n\thref="https://x"\n>', ["https://x"], id="over lines"),
        pytest.param('<area href="https://x"/><v:roundrect href="https://y">', ["https://x", "https://y"], id="others"),
        pytest.param('<a title="1 > 0" href="https://x">', ["https://x"], id="a bracket in an attribute"),
        pytest.param('<a data-x="href=https://y" href="https://x">', ["https://x"], id="one that is none"),
        pytest.param('<a href="https://x" href="https://y">', ["https://x"], id="twice: the first, as browsers do"),
        pytest.param('<abbr href="https://x"><link href="https://x">', [], id="no links"),
        pytest.param('<a name="top"><a>', [], id="no address"),
        pytest.param('<a href="https://x" data-heliograph-no-track>', [], id="ours not to track"),
        pytest.param('<a ses:no-track href="https://x">', [], id="SES not to track"),
        pytest.param('<a href="{{#if "a"}}https://x{{/if}}">', ['{{#if "a"}}https://x{{/if}}'], id="an expression"),
        pytest.param('<a {{#if x}}class="{{y}}"{{/if}} href="https://x">', ["https://x"], id="expressions in the tag"),
        pytest.param('<a href="https://x', ["https://x"], id="never closed"),
        pytest.param("<a " * 3, [], id="never a bracket"),
    ],
)
def test_links_are_found(html: str, values: list[str]) -> None:
    assert [html[found.start : found.end] for found in find_links(html, template=True)] == values


@pytest.mark.parametrize("hostile", ['<a href="{{', "<a x='", "<a {{{", "<a href=", "<a\t", '<a b="{{"}}'])
def test_finding_takes_no_longer_for_hostile_text(hostile: str) -> None:
    # Quadratic, it would take minutes, and the time limit of the test would end it.
    text = hostile * 200_000
    assert len(list(find_links(text, template=True))) <= 200_000


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ('ses:tags="unsubscribeLinkTag:click;"', LinkKind.UNSUBSCRIBE_CLICK),
        ("ses:tags='a:b; unsubscribelinktag:x'", LinkKind.UNSUBSCRIBE_CLICK),
        ('ses:tags="campaign:unsubscribeLinkTag"', LinkKind.CLICK),
        ("", LinkKind.CLICK),
    ],
)
def test_a_tagged_link_counts_as_unsubscribing(tags: str, kind: LinkKind) -> None:
    assert [found.kind for found in find_links(f'<a {tags} href="https://x">', template=True)] == [kind]


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("https://x.example/?a=1&amp;b=2", "https://x.example/?a=1&b=2"),
        (" HTTP://x.example ", "HTTP://x.example"),
        ("https://x.example/" + "a" * (MAX_TARGET_BYTES - 18), "https://x.example/" + "a" * (MAX_TARGET_BYTES - 18)),
        ("https://x.example/" + "a" * (MAX_TARGET_BYTES - 17), ""),
        ("mailto:a@x.example", ""),
        ("tel:+491234", ""),
        ("#top", ""),
        ("/relative", ""),
        ("//x.example", ""),
        ("https://", ""),
        ("https:///x", ""),
        ("javascript:alert(1)//https://x", ""),
        ("&#106;avascript:x", ""),
        ("https://x.example/\r\nSet-Cookie: a=b", ""),
        ("https://x.example/\ud800", ""),
        (f"{BASE}/u/token", ""),
    ],
)
def test_only_web_links_of_others_are_followed(written: str, target: str) -> None:
    assert target_of(written, BASE) == target


# -- rewriting


def rewritten(source: str, *values: str, opens: bool = False, clicks: bool = True) -> str:
    marked = mark(source, MARK, BASE)
    html = compile_parts([Part("html", marked.source, html=True)]).render(values, OCCASION)[0]
    return Rewriting(marked, a_signer(), opens=opens, clicks=clicks).html(html, ID)


def targets_of(html: str) -> list[str]:
    """Follow every tracked link of a text, and leave the others as they are."""
    found = []
    for value in re.findall(r'(?:href|src)="([^"]*)"', html):
        link = read(token_of(value)) if value.startswith(f"{BASE}/") else None
        assert link is None or (link.message_id, link.project) == (ID, "shop")
        found.append(value if link is None else link.target or link.kind.name)
    return found


def test_links_of_the_template_lead_through_us_and_the_others_stay() -> None:
    source = (
        '<body><a href="https://a.example/?x=1&amp;y=2">A</a><a href="mailto:a@b.example">B</a>'
        '<a href="https://c.example" ses:no-track>C</a><a href="https://a.example">D</a></body>'
    )
    html = rewritten(source)
    assert targets_of(html) == [
        "https://a.example/?x=1&y=2", "mailto:a@b.example", "https://c.example", "https://a.example",
    ]  # fmt: skip
    assert html.count(f"{BASE}/c/") == 2
    assert MARK not in html


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("42&x=<1>", "https://a.example/42&x=<1>?ref=mail"),
        ("", "https://a.example/?ref=mail"),
        ("a\nb", "https://a.example/a\nb?ref=mail"),
    ],
)
def test_a_link_with_a_variable_is_replaced_as_it_was_rendered(value: str, target: str) -> None:
    html = rewritten('<a href="https://a.example/{{Id}}?ref=mail">x</a>', value)
    followed = targets_of(html)
    assert followed == [target] if target.isprintable() else "/c/" not in html


@pytest.mark.parametrize(
    ("source", "value", "targets"),
    [
        ('<a href="{{#if Id}}https://a.example{{else}}https://b.example{{/if}}">x</a>', "y", ["https://a.example"]),
        ('<a href="{{#if Id}}https://a.example{{else}}https://b.example{{/if}}">x</a>', "", ["https://b.example"]),
        (
            '{{#if Id}}<a href="https://a.example">x</a>{{/if}}<a href="https://b.example">y</a>',
            "",
            ["https://b.example"],
        ),
        ('<a {{#if Id}}class="x"{{/if}} href="https://{{~Id~}} /">x</a>', "a.example", ["https://a.example/"]),
        ('{{!-- <a href="https://no.example"> --}}<a href="https://a.example">x</a>', "", ["https://a.example"]),
    ],
)
def test_links_and_blocks_stand_in_each_other(source: str, value: str, targets: list[str]) -> None:
    html = rewritten(source, *([value] if "Id" in source else []))
    assert targets_of(html) == targets
    assert MARK not in html


@pytest.mark.parametrize("value", ["https://b.example", "mailto:x@y.example", "#a", "javascript:alert(1)"])
def test_a_link_that_is_a_variable_is_followed_only_where_it_leads_to_the_web(value: str) -> None:
    html = rewritten('<a href="{{Id}}">x</a> after <a href="https://c.example">y</a>', value)
    assert targets_of(html)[1] == "https://c.example"
    assert (f'href="{BASE}/c/' in html.split("after")[0]) == value.startswith("https")


def test_links_in_what_a_template_does_not_escape_are_found_in_the_text() -> None:
    html = rewritten('<a href="https://a.example">x</a>{{{Id}}}', '<a href="https://b.example">y</a><a href="#c">z</a>')
    assert targets_of(html) == ["https://a.example", "https://b.example", "#c"]


@pytest.mark.parametrize(
    "source",
    ["<html><body>Hi</body></html>", "<p>Hi", "<BODY>Hi</BODY>\n", '<a href="https://x.example">Hi</a></body> x'],
)
def test_the_picture_stands_at_the_end_of_the_body(source: str) -> None:
    html = rewritten(source, opens=True)
    before, after = html.split("<img src=", 1)
    assert targets_of("src=" + after)[0] == "OPEN"
    assert re.fullmatch(
        r'"[^"]*" alt="" width="1" height="1" border="0">(</body.*|\n)?', after, re.DOTALL | re.IGNORECASE
    )
    assert "Hi" in before


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize("clicks", [True, False])
def test_opens_and_clicks_are_switched_apart(opens: bool, clicks: bool) -> None:
    source = '<body><a href="https://a.example/?x=1&amp;y={{Id}}">x</a><a href="https://b.example">y</a></body>'
    html = rewritten(source, "1", opens=opens, clicks=clicks)
    assert (html.count("/o/"), html.count("/c/")) == (int(opens), 2 * clicks)
    if not opens and not clicks:
        assert html == source.replace("{{Id}}", "1")


def test_a_tagged_link_says_so_in_its_token() -> None:
    html = rewritten('<a ses:tags="unsubscribeLinkTag:click;" href="https://a.example/out">x</a>')
    url = re.findall(r'href="([^"]*)"', html)[0]
    assert read(token_of(url)) == Link(LinkKind.UNSUBSCRIBE_CLICK, "shop", ID, "https://a.example/out")


_PIECES = st.sampled_from(
    [
        "<p>", "text ", "{{Id}}", '<a href="https://a.example/">', '<a href="https://a.example/{{Id}}">', '<a href="',
        "{{", "}}", '"', "'", ">", "<", "</body>", "<a href=", "https://b.example", "{{{Id}}}", "<a ", "<!--", "\n",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join), st.text(max_size=10))
@settings(max_examples=500)
def test_nothing_of_a_text_is_lost_whatever_it_is(source: str, value: str) -> None:
    """With both kinds switched off, the text comes out as if it had never been marked."""
    marked = mark(source, MARK, BASE)
    filled = marked.source.replace("{{Id}}", value)
    assert Rewriting(marked, a_signer(), opens=False, clicks=False).html(filled, ID) == source.replace("{{Id}}", value)


def test_a_template_of_many_links_is_marked_up_to_a_thousand() -> None:
    marked: Marked = mark('<a href="https://a.example">x</a>' * 1001, MARK, BASE)
    assert len(marked.fixed) == 1000
