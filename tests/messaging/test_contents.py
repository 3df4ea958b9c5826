"""Contents: which of several is said, what they may hold, and what only filled-in values show. Pure rules and tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_messaging.builders import all_parts
from heliograph_messaging.domain.contents import (
    Content,
    EmailText,
    InAppText,
    PushText,
    PushTexts,
    Said,
    SmsText,
    VoiceText,
    from_json,
    platform_of,
    to_json,
)
from heliograph_messaging.domain.filled import CannotSend, header_value, one_click, raw_payload, spoken
from heliograph_messaging.domain.findings import email_findings, shorteners, sms_findings
from heliograph_messaging.domain.handlebars import Part, compile_parts
from heliograph_messaging.domain.inline import Inline, PushesSettings, PushSettings, SmsSettings, inline_problems
from heliograph_messaging.domain.limits import Problem, file_problems, travelling
from heliograph_messaging.domain.precedence import NONE, Overrides, choose
from heliograph_messaging.service.drafts import content_problems
from tests.messaging.templating import OCCASION

pytestmark = pytest.mark.unit

STORED = EmailText("stored", "<p>stored</p>", "stored text", (("X-A", "1"), ("X-B", "2")), True, "https://s.example/u")
NOTE = PushText(title="stored", body="stored body", action="URL", url="https://s.example")
RAW = '{"aps": {"content-available": 0}}'


@pytest.mark.parametrize(
    ("message", "template", "overrides", "chosen"),
    [
        pytest.param(EmailText(), STORED, NONE, STORED, id="the template alone"),
        pytest.param(
            EmailText(subject="own"), STORED, NONE,
            EmailText("own", STORED.html, STORED.text, STORED.headers, True, STORED.unsubscribe_url),
            id="a member that is set takes the template's place",
        ),
        pytest.param(
            EmailText(headers=(("x-a", "3"),)), STORED, NONE,
            EmailText("stored", STORED.html, STORED.text, (("x-a", "3"), ("X-B", "2")), True, STORED.unsubscribe_url),
            id="a header takes the place of the one it names",
        ),
        pytest.param(
            EmailText(one_click=True), STORED, NONE,
            EmailText("stored", STORED.html, STORED.text, STORED.headers, True, ""),
            id="its own way of unsubscribing",
        ),
        pytest.param(EmailText(raw="r", subject="own"), STORED, NONE, EmailText(raw="r"), id="a whole message"),
        pytest.param(
            EmailText(raw="r"), EmailText("s", "<p>h</p>"), Overrides(title="over"), EmailText("over", "<p>h</p>"),
            id="an override is above a whole message",
        ),
        pytest.param(
            EmailText("own", "<p>own</p>"), None, Overrides(body="over"), EmailText("own", "", "over"),
            id="an override of the body replaces both parts",
        ),
        pytest.param(EmailText(), None, NONE, EmailText(text="default"), id="the default body is the text part"),
        pytest.param(
            EmailText(subject="own"), EmailText("s"), NONE, EmailText("own", "", "default"),
            id="a template that says nothing",
        ),
        pytest.param(SmsText("own"), SmsText("stored"), Overrides(body="over"), SmsText("over"), id="SMS: override"),
        pytest.param(SmsText("own"), SmsText("stored"), NONE, SmsText("own"), id="SMS: own"),
        pytest.param(SmsText(), SmsText("stored"), NONE, SmsText("stored"), id="SMS: template"),
        pytest.param(SmsText(), None, Overrides(title="no"), SmsText("default"), id="SMS: default"),
        pytest.param(
            VoiceText("", "fr-FR"), VoiceText("stored", "en-GB", "Amy"), NONE, VoiceText("stored", "fr-FR", "Amy"),
            id="voice: language of its own",
        ),
        pytest.param(VoiceText(), None, NONE, VoiceText("default"), id="voice: default"),
        pytest.param(PushText(raw=RAW), NOTE, Overrides(raw="{}"), PushText(raw="{}"), id="push: raw of the recipient"),
        pytest.param(
            PushText(raw=RAW), NOTE, Overrides(body="over"),
            PushText("stored", "over", "URL", "https://s.example"), id="push: override is above the message's raw",
        ),
        pytest.param(PushText(raw=RAW), NOTE, NONE, PushText(raw=RAW), id="push: raw of the message"),
        pytest.param(
            PushText(title="own"), PushText(raw=RAW), NONE, PushText("own"), id="push: words are above the template's raw"
        ),
        pytest.param(PushText(sound="x"), PushText(raw=RAW), NONE, PushText(raw=RAW), id="push: a sound is no words"),
        pytest.param(
            PushText(sound="ping", action="OPEN_APP"), NOTE, NONE,
            PushText("stored", "stored body", "OPEN_APP", "", "ping"), id="push: action and address go together",
        ),
        pytest.param(
            PushText(), PushText(title="stored"), NONE, PushText("stored"),
            id="push: the default notification does not complete a template",
        ),
        pytest.param(
            PushText(sound="ping"), None, NONE, PushText("below", "default", sound="ping"),
            id="push: the default body completes the default notification",
        ),
    ],
)  # fmt: skip
def test_the_content_of_the_highest_level_is_said(
    message: Said, template: Said | None, overrides: Overrides, chosen: Said
) -> None:
    said = choose(
        message, overrides=overrides, template=template, default_message=PushText(title="below"), default_body="default"
    )
    assert said == chosen


def test_nothing_at_any_level_says_nothing() -> None:
    empty: Sequence[Said] = (EmailText(), SmsText(), VoiceText(), PushText())
    assert [choose(message).says_something for message in empty] == [False] * 4


@pytest.mark.parametrize(
    ("channel_type", "platform"),
    [("APNS", "apns"), ("APNS_SANDBOX", "apns"), ("APNS_VOIP", "apns"), ("APNS_VOIP_SANDBOX", "apns"), ("GCM", "gcm"),
     ("ADM", "adm"), ("BAIDU", "baidu"), ("WEB", "web"), ("PUSH", ""), ("EMAIL", "")],
)  # fmt: skip
def test_every_kind_of_device_has_its_part(channel_type: str, platform: str) -> None:
    texts = PushTexts(
        PushText("for all"), apns=PushText(body="apple"), gcm=PushText("google"), adm=PushText(raw="{}"),
        web=PushText(body="browser"),
    )  # fmt: skip
    said = {
        "apns": PushText("for all", "apple"), "gcm": PushText("google"), "adm": PushText(raw="{}"),
        "web": PushText("for all", "browser"),
    }  # fmt: skip
    assert platform_of(channel_type) == platform
    assert texts.on(platform) == said.get(platform, PushText("for all"))


def a_part(size: int) -> PushText:
    return PushText(title="t", body="b" * (size - 1))


def an_in_app(**changes: object) -> InAppText:
    content = {
        "header": {"text": "Hi", "text_color": "#000000", "alignment": "TEXT_ALIGNMENT_LEFT"},
        "primary_button": {"text": "Go", "action": "IN_APP_ACTION_LINK", "link": "https://s.example"},
        **changes,
    }
    return InAppText([content], "IN_APP_LAYOUT_OVERLAYS")


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        pytest.param(EmailText("s" * 998, "x" * 599_002), set(), id="600,000 characters"),
        pytest.param(EmailText("s", "x" * 600_000), {"email"}, id="one more"),
        pytest.param(EmailText("s" * 999, "x"), {"email.subject"}, id="a long subject"),
        pytest.param(EmailText("a\u2028b", "x"), {"email.subject"}, id="a subject of two lines"),
        pytest.param(EmailText("s\n", "x"), {"email.subject"}, id="a subject that ends in a line break"),
        pytest.param(EmailText("s", "x", "", tuple((f"X-{n}", "v") for n in range(15))), set(), id="15 headers"),
        pytest.param(
            EmailText("s", "x", "", tuple((f"X-{n}", "v") for n in range(16))), {"email.headers"}, id="16 headers"
        ),
        pytest.param(EmailText("s", "x", "", (("X" * 126, "v" * 870),)), set(), id="the longest header"),
        pytest.param(
            EmailText("s", "x", "", (("X" * 127, "v" * 871),)),
            {"email.headers[0].name", "email.headers[0].value"}, id="a longer one",
        ),
        pytest.param(
            EmailText("s", "x", "", (("Bcc", "v"), ("X-A\n", "v"), ("X-B", "v\r\nBcc: x"), ("x-b", "v\n"))),
            {"email.headers[0].name", "email.headers[1].name", "email.headers[2].value", "email.headers[3].name",
             "email.headers[3].value"}, id="headers that would break out",
        ),
        pytest.param(
            EmailText("s", "x", "", (), False, "http://s.example"),
            {"email.list_unsubscribe.url"}, id="an address without the switch and without encryption",
        ),
        pytest.param(
            EmailText("s", "x", "", (("List-Unsubscribe", "<https://s.example>"),), True),
            {"email.list_unsubscribe.one_click"}, id="two ways of unsubscribing",
        ),
        pytest.param(EmailText("", ""), {"email.subject", "email.html"}, id="an empty e-mail"),
        pytest.param(SmsText("x" * 1600), set(), id="1,600 characters of SMS"),
        pytest.param(SmsText("x" * 1601), {"sms.body"}, id="1,601 characters of SMS"),
        pytest.param(SmsText(), {"sms.body"}, id="an empty SMS"),
        pytest.param(
            PushTexts(a_part(4000), a_part(4000), a_part(4000), a_part(6000), a_part(4000), a_part(3993)),
            set(), id="full parts",
        ),
        pytest.param(
            PushTexts(a_part(4001), a_part(4001), a_part(4001), a_part(6001), a_part(4001), a_part(3994)),
            {"push.default_part", "push.apns", "push.gcm", "push.adm", "push.baidu", "push.web"}, id="one more in each part",
        ),
        pytest.param(PushTexts(), {"push"}, id="an empty notification"),
        pytest.param(
            PushTexts(PushText(raw="{}"), apns=PushText(raw="{"), gcm=PushText(raw="[]"), adm=PushText(raw="{{{x}}}")),
            {"push.default_part.raw_content", "push.apns.raw_content", "push.gcm.raw_content"}, id="raw content",
        ),
        pytest.param(PushTexts(PushText("t", raw='{"a": NaN}')), {"push.default_part.raw_content"}, id="no JSON number"),
        pytest.param(
            PushTexts(PushText("t", action="URL"), gcm=PushText("t", url="https://x")),
            {"push.default_part.url", "push.gcm.url"}, id="action without address and the other way round",
        ),
        pytest.param(VoiceText("x" * 10_000, "fr-FR", "v" * 64), set(), id="10,000 characters of voice"),
        pytest.param(
            VoiceText("x" * 10_001, "french!", "v" * 65), {"voice.body", "voice.language", "voice.voice"}, id="more"
        ),
        pytest.param(an_in_app(), set(), id="in-app"),
        pytest.param(InAppText([], ""), {"in_app.contents", "in_app.layout"}, id="an empty in-app template"),
        pytest.param(
            InAppText(list(an_in_app().contents) * 6, "IN_APP_LAYOUT_CAROUSEL"), {"in_app.contents"}, id="six in-app messages"
        ),
        pytest.param(InAppText(list(an_in_app().contents) * 5, "IN_APP_LAYOUT_CAROUSEL"), set(), id="five"),
        pytest.param(
            an_in_app(
                background_color="red", header={"text_color": "#12345"}, image_url="ftp://x",
                primary_button={"action": "IN_APP_ACTION_DEEP_LINK", "border_radius": -1, "ios": {}},
            ),
            {f"in_app.contents[0].{name}" for name in (
                "background_color", "header.text", "header.alignment", "header.text_color", "image_url",
                "primary_button.text", "primary_button.link", "primary_button.border_radius", "primary_button.ios.action",
            )}, id="every mistake of an in-app message",
        ),
        pytest.param(
            InAppText(an_in_app().contents, "IN_APP_LAYOUT_OVERLAYS", {"k": "v" * 200_000}), {"in_app"}, id="200,000 more"
        ),
    ],
)  # fmt: skip
def test_contents_keep_to_their_limits_and_every_problem_is_told(content: Content, fields: set[str]) -> None:
    assert {problem.field for problem in content_problems(content)} == fields


@pytest.mark.parametrize(
    "content",
    [STORED, SmsText("x"), PushTexts(NOTE, adm=PushText(raw="{}"), web=NOTE), VoiceText("x", "fr-FR"), an_in_app()],
    ids=["email", "sms", "push", "voice", "in-app"],
)
def test_what_is_stored_is_what_was_said(content: Content) -> None:
    kinds = {EmailText: "EMAIL", SmsText: "SMS", PushTexts: "PUSH", VoiceText: "VOICE", InAppText: "IN_APP"}
    stored = json.loads(json.dumps(to_json(content)))
    assert from_json(kinds[type(content)], {**stored, "of_a_later_version": 1}) == content


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        pytest.param(SmsSettings(media_urls=("https://x",) * 10, entity_id="1" * 64), set(), id="ten pictures"),
        pytest.param(
            SmsSettings("unknown", ("http://x",) * 11, "1 2", "1" * 65),
            {"sms_message_type", "sms_media_urls", *(f"sms_media_urls[{n}]" for n in range(11)), "sms_entity_id",
             "sms_template_id"}, id="SMS",
        ),
        pytest.param(
            PushesSettings(gcm=PushSettings((("k", "v"),) * 100, True, 2_419_200, "high", "c" * 64, 0, push_type="voip")),
            set(), id="the most of a notification",
        ),
        pytest.param(
            PushesSettings(apns=PushSettings((("k", "v"),) * 101, True, 2_419_201, "urgent", "é" * 33, -1, push_type="x")),
            {f"push.apns.{name}" for name in (
                "data", "time_to_live_seconds", "priority", "collapse_id", "badge", "push_type",
            )}, id="more than that",
        ),
    ],
)  # fmt: skip
def test_settings_keep_to_their_limits(settings: SmsSettings | PushesSettings, fields: set[str]) -> None:
    message = SmsText("x") if isinstance(settings, SmsSettings) else PushTexts(PushText("x"))
    assert {problem.field for problem in inline_problems(Inline(message, settings))} == fields


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("", True), ("com.example", True), ("Com.ex_ample.shop2", True), ("c." + "x" * 253, True), ("c." + "x" * 254, False),
        ("shop", False), ("com.", False), ("com..shop", False), ("com.2shop", False), ("com._shop", False),
        ("com.shöp", False), ("com.shop\n", False), (" com.shop", False),
    ],
)  # fmt: skip
def test_a_package_name_is_one_of_android(name: str, taken: bool) -> None:
    settings = PushesSettings(gcm=PushSettings(restricted_package_name=name))
    found = [problem.field for problem in inline_problems(Inline(PushTexts(PushText("x")), settings))]
    assert found == ([] if taken else ["push.gcm.restricted_package_name"])


def test_zero_is_a_setting_and_does_not_give_way() -> None:
    below = PushSettings(time_to_live_seconds=60, badge=3, silent=True, priority="high")
    top = PushSettings(time_to_live_seconds=0, badge=0)
    assert PushesSettings(default=below, gcm=top).on("gcm") == PushSettings(
        time_to_live_seconds=0, badge=0, silent=True, priority="high"
    )


@pytest.mark.parametrize(
    ("platform", "raw", "sent"),
    [
        ("gcm", '{"notification": {"title": "x"}}', '{"notification": {"title": "x"}}'),
        ("apns", '{"aps": {"content-available": 0, "alert": "x"}}', '{"aps": {"content-available": 0, "alert": "x"}}'),
        ("apns", '{"APNSMessage": {"aps": {"content-available": 1}}}', '{"aps": {"content-available": 1}}'),
        ("apns", '{"aps": {"alert": "x", "url-args": [""]}}', '{"aps": {"alert": "x", "url-args": [""]}}'),
        ("apns", '{"APNSMessage": {"aps": {"url-args": ["a", "b"]}}}', '{"aps": {"url-args": ["a", "b"]}}'),
        ("gcm", '{"GCMMessage": {"data": {"a": "ü"}}}', '{"data": {"a": "ü"}}'),
        ("adm", '{"GCMMessage": {}}', '{"GCMMessage": {}}'),
        ("web", '{"notification": {"title": "x"}}', '{"notification": {"title": "x"}}'),
        ("web", '{"WebMessage": {"title": "ü"}}', '{"title": "ü"}'),
        ("web", '{"WebMessage": {}, "more": 1}', '{"WebMessage": {}, "more": 1}'),
    ],
)
def test_raw_content_goes_as_it_is_or_as_it_stands_under_its_platform(platform: str, raw: str, sent: str) -> None:
    assert raw_payload(platform, raw) == sent


@pytest.mark.parametrize(
    ("platform", "raw", "words"),
    [
        ("gcm", "{", "no JSON"),
        ("gcm", "[1]", "JSON object"),
        ("web", '"plain text"', "JSON object"),
        ("gcm", "[" * 100_000, "no JSON"),
        ("apns", "{}", "content-available"),
        ("apns", '{"aps": []}', "content-available"),
        ("apns", '{"aps": {"alert": "x"}}', "content-available"),
        ("apns", '{"aps": {"content-available": 2}}', "content-available"),
        ("apns", '{"aps": {"content-available": true}}', "content-available"),
        ("apns", '{"aps": {"alert": "x", "url-args": []}}', "url-args"),
        ("apns", '{"aps": {"alert": "x", "url-args": ""}}', "url-args"),
        ("apns", '{"aps": {"alert": "x", "url-args": [7]}}', "url-args"),
        ("apns", '{"aps": {"content-available": 1, "alert": "x", "sound": ""}}', "must not hold alert, sound"),
    ],
)
def test_raw_content_that_a_platform_would_refuse_is_not_sent(platform: str, raw: str, words: str) -> None:
    with pytest.raises(CannotSend, match=words):
        raw_payload(platform, raw)


@given(st.text())
def test_a_value_in_raw_content_stays_one_string(value: str) -> None:
    compiled = compile_parts([Part("raw", '{"alert": "Hi {{name}} {{{name}}}", "n": 1}', json=True)])
    (rendered,) = compiled.render([value], OCCASION)
    assert json.loads(rendered) == {"alert": f"Hi {value} {value}", "n": 1}


def test_header_values_and_links_are_bounded_once_they_are_filled_in() -> None:
    assert header_value("X-A", "v" * 870)
    with pytest.raises(CannotSend, match="X-A has more than 870"):
        header_value("X-A", "v" * 871)
    assert one_click("https://s.example/u?a=1&b=%20 é") == {
        "List-Unsubscribe": "<https://s.example/u?a=1&b=%20%20%C3%A9>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert one_click("https://s.example/" + "u" * 850)
    for bad in ("http://s.example", "", "javascript:x", "https://", "https://s.example/" + "u" * 851):
        with pytest.raises(CannotSend):
            one_click(bad)


@given(st.text())
def test_no_value_gets_out_of_the_brackets_of_a_link(value: str) -> None:
    link = one_click(f"https://s.example/u?who={value[:50]}".encode("utf-8", "replace").decode())["List-Unsubscribe"]
    assert link.isascii()
    assert (link.count("<"), link.count(">"), link[-1]) == (1, 1, ">")
    assert not any(character in link for character in '\r\n "\x00')


@pytest.mark.parametrize(
    ("body", "ssml", "count"),
    [("x" * 3000, False, 3000), ("<speak>" + "x" * 3000 + "</speak>", True, 3000), ("<b>x</b>", False, 8)],
)
def test_what_is_spoken_is_counted_without_tags(body: str, ssml: bool, count: int) -> None:
    assert spoken(body, ssml=ssml) == count


@pytest.mark.parametrize(
    ("body", "ssml", "words"),
    [("x" * 3001, False, "3,001"), ("", False, "nothing"), ("<speak></speak>", True, "nothing"),
     ("<speak>x" + "<p/>" * 1500 + "</speak>", True, "6,0")],
)  # fmt: skip
def test_nobody_is_told_nothing_or_too_much_by_telephone(body: str, ssml: bool, words: str) -> None:
    with pytest.raises(CannotSend, match=words):
        spoken(body, ssml=ssml)


def test_whether_a_voice_message_is_markup_is_for_its_author_to_say() -> None:
    ours, theirs = VoiceText(" <speak>{{name}}</speak>"), VoiceText("{{name}}")
    assert (ours.ssml, theirs.ssml) == (True, False)
    (rendered,) = compile_parts(all_parts(ours)).render(["<break/>"], OCCASION)
    assert rendered == " <speak>&lt;break/&gt;</speak>"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("See https://bit.ly/x and bit.ly/y", ["bit.ly"]),
        ("tinyurl.com/a, https://www.tinyurl.com", ["tinyurl.com"]),
        ("T.CO/x then ow.ly.", ["t.co", "ow.ly"]),
        ("https://bit.ly.shop.example/x", []),
        ("https://rabbit.ly/x https://shop.example/bit.ly", []),
        ("mail ann@t.co", []),
        ("no link", []),
    ],
)
def test_public_link_shorteners_are_found_and_nothing_that_looks_like_one(text: str, found: list[str]) -> None:
    assert shorteners(text) == found


def test_shorteners_matter_to_recipients_in_the_us() -> None:
    reasons = [
        [one.reason for one in sms_findings("bit.ly/x", address)] for address in ("", "+12065550100", "+33612345678")
    ]
    assert reasons == [["LINK_SHORTENER"], ["LINK_SHORTENER"], []]


def test_characters_that_make_a_text_dearer_are_named() -> None:
    (dear,) = sms_findings("a" * 100 + "\u2019ç", "+33612345678")
    assert (dear.reason, dear.words) == ("UCS2", "takes 2 parts instead of 1 because of \u2019 ç")
    assert sms_findings("déjà", "") == []
    assert [one.reason for one in sms_findings("", "")] == ["EMPTY"]
    assert [(one.reason, one.error) for one in sms_findings("a" * 1601, "")] == [("TOO_LARGE", True)]


def test_large_html_and_missing_text_are_told() -> None:
    assert [one.reason for one in email_findings("x" * 102 * 1024, "text")] == []
    assert [one.reason for one in email_findings("x" * (102 * 1024 + 1), " ")] == ["HTML_CLIPPED", "TEXT_PART_MISSING"]


@pytest.mark.parametrize(
    ("name", "content_type", "problems"),
    [
        ("a.pdf", "application/pdf", 0), ("n" * 255, "image/svg+xml", 0), ("n" * 256, "text/plain", 1), ("", "text", 2),
        ("a/b", "message/rfc822", 2), ("a\n", "text/plain\n", 2), ("a\u2028", "text/plain; charset=x", 2),
    ],
)  # fmt: skip
def test_what_is_said_of_files_is_checked(name: str, content_type: str, problems: int) -> None:
    assert len(file_problems(name, content_type, "at")) == problems


@given(st.integers(0, 5000))
def test_files_travel_in_lines_of_76(size: int) -> None:
    full, rest = divmod(size, 57)
    assert travelling(size) == full * 78 + (-(-rest // 3) * 4 + 2 if rest else 0)


def test_problems_have_a_reason_for_code() -> None:
    assert Problem("a", "b").reason == "INVALID_ARGUMENT"
    assert {problem.reason for problem in content_problems(SmsText("x" * 1601))} == {"TEMPLATE_TOO_LARGE"}
