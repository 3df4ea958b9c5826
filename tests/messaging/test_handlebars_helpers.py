"""Every helper: inline, as a block, nested; the samples of pinpoint-1 6.5 and the edges of each argument."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from heliograph_messaging.domain.handlebars import Failure, Occasion, Part, RenderingFailed, compile_parts, limits
from heliograph_messaging.domain.handlebars.table import CONDITIONS, HELPERS
from tests.messaging.templating import OCCASION, render

pytestmark = pytest.mark.unit

VALUES = {
    "city": "Los Angeles",
    "name": "Alejandro",
    "age": "17",
    "Metrics.n": "22",
    "list": ["red", "green", "blue"],
    "one": ["red"],
    "html": "<p>Hi <b>you</b></p> 1 < 2",
    "no": "false",
    "empty": [""],
}

SAMPLES = [
    # tests
    ("{{and city name}}", "true"),
    ("{{and city gone}}", "false"),
    ("{{and city name age gone}}", "false"),
    ("{{or gone city}}", "true"),
    ("{{or gone other yes='y' no='n'}}", "n"),
    ("{{or (eq city 'x') (eq age 17)}}", "true"),
    ("{{not city}}", "false"),
    ("{{not gone yes='free'}}", "free"),
    ("{{not empty}}", "true"),
    ('{{eq age "17"}}', "true"),
    ("{{eq age 17.0}}", "true"),
    ("{{eq age '017'}}", "true"),
    ("{{eq city 'Los Angeles' yes='home' no='away'}}", "home"),
    ("{{eq city 'los angeles'}}", "false"),
    ("{{eq true 'true'}}", "true"),
    ("{{eq list 'red, green, blue'}}", "true"),
    ("{{eq (add 0.1 0.2) 0.3}}", "true"),
    ("{{neq age 18}}", "true"),
    ("{{gt age 9}}", "true"),
    ("{{gt '9' '10'}}", "false"),
    ("{{gt 'b' 'a'}}", "true"),
    ("{{gt 17 17}}", "false"),
    ("{{gte 17 age}}", "true"),
    ("{{lt age 17.5}}", "true"),
    ("{{lt city 'M'}}", "true"),
    ("{{lte age 16}}", "false"),
    ("{{lte age 17}}", "true"),
    # texts
    ("{{abbreviate name 6}}", "Ale..."),
    ("{{abbreviate name 9}}", "Alejandro"),
    ("{{abbreviate name 8}}", "Aleja..."),
    ("{{capitalize 'los angeles de la cruz'}}", "Los Angeles De La Cruz"),
    ("{{capitalize 'mcDONALD'}}", "McDONALD"),
    ("{{capitalizeFirst 'los angeles'}}", "Los angeles"),
    ("{{lower city}}", "los angeles"),
    ("{{upper city}}", "LOS ANGELES"),
    ("{{upper 'straße'}}", "STRASSE"),
    ("[{{center 'abc' size=8}}]", "[  abc   ]"),
    ("[{{center 'abc' size=8 pad='-'}}]", "[--abc---]"),
    ("[{{center 'abc' 2}}]", "[abc]"),
    ("[{{ljust 'abc' 5}}]", "[abc  ]"),
    ("[{{ljust 'abc' size=5 pad='.'}}]", "[abc..]"),
    ("[{{rjust 'abc' 6 'xy'}}]", "[xyxabc]"),
    ("[{{rjust 'abc' 0}}]", "[abc]"),
    ("{{cut city}}", "LosAngeles"),
    ("{{cut city 'Los '}}", "Angeles"),
    ("{{cut city 'x'}}", "Los Angeles"),
    ("{{replace city 'Los' 'San'}}", "San Angeles"),
    ("{{replace 'a.b.c' '.' '*'}}", "a*b*c"),
    ("{{replace 'a.*' '.*' '+'}}", "a+"),
    ("{{replace city '' 'x'}}", "Los Angeles"),
    ("{{slugify city}}", "los-angeles"),
    ("{{slugify '  Málaga & Ñu, 2nd__floor!  '}}", "malaga-nu-2nd__floor"),
    ("{{slugify 'Привет мир'}}", "привет-мир"),
    ("{{{stripTags html}}}", "Hi you 1 < 2"),
    ("{{{stripTags '<<a>b'}}}", "b"),
    ("{{substring city 4 9}}", "Angel"),
    ("{{substring city 4}}", "Angeles"),
    ("{{substring city 99}}", ""),
    ("{{substring '😀bc' 1 2}}", "b"),
    ("{{join list ', '}}", "red, green, blue"),
    ("{{join list '' prefix='[' suffix=']'}}", "[redgreenblue]"),
    ("{{join one '+'}}", "red"),
    ("{{#each list}}{{join ../list this}} {{/each}}", "redredgreenredblue redgreengreengreenblue redbluegreenblueblue "),
    ("{{inflect 3 'apple' 'apples'}}", "apples"),
    ("{{inflect 1 'apple' 'apples'}}", "apple"),
    ("{{inflect 3 'apple' 'apples' includeCount=true}}", "3 apples"),
    ("{{inflect '1' 'apple' 'apples' includeCount='true'}}", "1 apple"),
    ("{{inflect 0 'apple' 'apples' includeCount=false}}", "apples"),
    ("{{ordinalize 22}}", "22nd"),
    ("{{ordinalize Metrics.n}}", "22nd"),
    ("{{ordinalize 1}} {{ordinalize 3}} {{ordinalize 4}} {{ordinalize 11}} {{ordinalize 112}} {{ordinalize 103}}",
     "1st 3rd 4th 11th 112th 103rd"),
    ("{{ordinalize -1}} {{ordinalize '2'}}", "-1st 2nd"),
    ("{{yesno true}} {{yesno false}} {{yesno gone}}", "yes no maybe"),
    ("{{yesno no}} {{yesno city}} {{yesno empty}}", "no yes no"),
    ("{{yesno no no='never' yes='y' maybe='?'}} {{yesno gone maybe='?'}}", "never ?"),
    ("{{lookup list 2}} {{lookup list '0'}} {{#each list}}{{lookup ../list @index}}{{/each}}", "blue red redgreenblue"),
    # numbers
    ("{{add 5 2.3}}", "7.3"),
    ("{{subtract 5 2.3}}", "2.7"),
    ("{{multiply 5 2.3}}", "11.5"),
    ("{{divide 5 2.3}}", "2.17391304"),
    ("{{modulo 7 2}}", "1"),
    ("{{modulo -7 2}}", "-1"),
    ("{{add age Metrics.n}}", "39"),
    ("{{multiply (divide 1 3) 3}}", "1"),
    ("{{add 0.1 0.2}}", "0.3"),
    ("{{divide 1 512}}", "0.00195313"),
    ("{{subtract 0 0.000000001}}", "0"),
    ("{{multiply 100000000 1000000}}", "100000000000000"),
    ("{{ceiling 5.2}} {{floor 5.8}} {{round 5.5}} {{round 5.4}}", "6 5 6 5"),
    ("{{ceiling -5.2}} {{floor -5.2}} {{round -2.5}}", "-5 -6 -2"),
    ("{{round (divide age 2)}}", "9"),
    # encodings; the samples of md5 and Base64 are of `Hello world`, those of the others of `Hello World`
    ("{{{encode64 'Hello world'}}}", "SGVsbG8gd29ybGQ="),
    ("{{decode64 'SGVsbG8gd29ybGQ='}}", "Hello world"),
    ("{{decode64 '/w=='}}", "\ufffd"),
    ("{{md5 'Hello world'}}", "3e25960a79dbc69b674cd4ec67a72c62"),
    ("{{sha256 'Hello World'}}", "a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e"),
    ("{{sha512 'Hello World'}}",
     "2c74fd17edafd80e8447b0d46741ee243b7eb74dd2149a0ab1b9246fb30382f27e853d8585719e0e67cbda0daa8f51671064615d645ae27acb15bfb1447f459b"),
    ("{{sha256 ''}}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    # dates
    ("{{dateFormat '2020-09-19'}}", "Sep 19, 2020"),
    ("{{dateFormat '2020-09-19' 'full'}}", "Saturday, September 19, 2020"),
    ("{{dateFormat '2020-09-19' outputFormat='long'}}", "September 19, 2020"),
    ("{{dateFormat '2020-09-19' format='medium'}}", "Sep 19, 2020"),
    ("{{dateFormat '2020-09-19' outputFormat='short'}}", "9/19/20"),
    ("{{now}}", "Sep 19, 2020"),
    ("{{now 'yyyy-MM-dd HH:mm'}}", "2020-09-19 18:30"),
    ("{{now 'HH:mm' tz='America/New_York'}} {{now 'HH:mm' tz='GMT+2'}}", "14:30 20:30"),
    ("{{now 'MMMM' }}", "September"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rendered"), SAMPLES, ids=[text for text, _ in SAMPLES])
def test_helpers_inline(text: str, rendered: str) -> None:
    assert render(text, VALUES) == rendered


ALONE = [(text, rendered) for text, rendered in SAMPLES if text.count("{{") == 1 and "#" not in text]


@pytest.mark.parametrize(("text", "rendered"), ALONE, ids=[text for text, _ in ALONE])
def test_helpers_nested_in_another_give_the_same(text: str, rendered: str) -> None:
    inner = text.replace("[", "").replace("]", "").strip("{}")
    assert render(f"{{{{{{replace ({inner}) '' ''}}}}}}", VALUES) == rendered.strip("[]")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        *((f"{{{{#{test}}}}}yes{{{{else}}}}no{{{{/{test.split()[0]}}}}}", result)
          for test, result in (
              ("and city name", "yes"), ("or gone other", "no"), ("not gone", "yes"), ("eq age 17", "yes"),
              ("neq age 17", "no"), ("gt age 17", "no"), ("gte age 17", "yes"), ("lt age 18", "yes"), ("lte age 16", "no"),
          )),
        ("{{^eq age 17}}no{{/eq}}", ""),
        ("{{#eq age 1}}a{{else eq age 17}}b{{else}}c{{/eq}}", "b"),
        ("{{#eq age 17 yes='ignored'}}{{city}}{{/eq}}", "Los Angeles"),
        ("{{#upper city}}<{{this}}>{{/upper}}", "<LOS ANGELES>"),
        ("{{#upper city}}{{name}} in {{.}}{{/upper}}", "Alejandro in LOS ANGELES"),
        ("{{#cut city city}}{{.}}{{else}}nothing left{{/cut}}", "nothing left"),
        ("{{#add 1 2}}{{this}}{{multiply this 2}}{{/add}}", "36"),
        ("{{#subtract 1 1}}{{this}}{{/subtract}}", "0"),
        ("{{#lookup list 1}}{{.}}{{/lookup}}{{#lookup list 9}}{{.}}{{else}}none{{/lookup}}", "greennone"),
        ("{{#now 'yyyy'}}year {{.}}{{/now}}", "year 2020"),
        ("{{#join list '-'}}{{upper this}}{{/join}}", "RED-GREEN-BLUE"),
        ("{{#each list}}{{#eq this 'green'}}{{@index}}{{this}}{{/eq}}{{/each}}", "1green"),
    ],
)  # fmt: skip
def test_helpers_as_blocks(text: str, rendered: str) -> None:
    assert render(text, VALUES) == rendered


def test_there_is_a_sample_of_every_helper() -> None:
    texts = " ".join(text for text, _ in SAMPLES)
    named = {name for name in (*HELPERS, *CONDITIONS) if f"{{{{{name}" in texts or f"({name} " in texts}
    assert named == {*HELPERS, *CONDITIONS} - {"uuid"}


def test_uuids_differ_within_a_message_and_between_messages_and_stay_when_it_is_rendered_again() -> None:
    text = "{{uuid}} {{#each list}}{{uuid}} {{/each}}"
    first = render(text, VALUES).split()
    assert len(set(first)) == 4
    assert all(len(one) == 36 and one[14] == "4" for one in first)
    assert render(text, VALUES).split() == first
    other = render(text, VALUES, occasion=Occasion(OCCASION.now, "m2")).split()
    assert not set(first) & set(other)


# -- dates --------------------------------------------------------------------------------------------------------------

MOMENT = "2021-01-03T08:05:09.042+01:00"  # a Sunday


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("G", "AD"), ("y", "2021"), ("yy", "21"), ("yyy", "2021"), ("yyyyy", "02021"), ("YYYY", "2021"),
        ("M", "1"), ("MM", "01"), ("MMM", "Jan"), ("MMMM", "January"), ("LLL", "Jan"),
        ("w", "2"), ("ww", "02"), ("W", "2"), ("D", "3"), ("DDD", "003"), ("d", "3"), ("dd", "03"), ("F", "1"),
        ("E", "Sun"), ("EEE", "Sun"), ("EEEE", "Sunday"), ("u", "7"), ("a", "AM"),
        ("H", "7"), ("HH", "07"), ("k", "7"), ("K", "7"), ("hh", "07"), ("m", "5"), ("mm", "05"), ("s", "9"), ("ss", "09"),
        ("S", "42"), ("SSS", "042"), ("z", "UTC"), ("Z", "+0000"), ("X", "Z"), ("XXX", "Z"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2021-01-03T07:05:09.042Z"), ("h 'o''clock' ''a''", "7 o'clock 'AM'"),
        ("d. MMMM, EEE", "3. January, Sun"), ("", "Jan 3, 2021"),
    ],
)  # fmt: skip
def test_dates_are_written_as_simple_date_format_writes_them(pattern: str, written: str) -> None:
    assert render("{{{dateFormat d outputFormat=p tz='UTC'}}}", {"d": MOMENT, "p": [pattern]}) == written


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("America/Los_Angeles", "2021-01-02 23:05 PST -0800 -08:00"), ("Europe/Paris", "2021-01-03 08:05 CET +0100 +01:00"),
        ("Asia/Kolkata", "2021-01-03 12:35 IST +0530 +05:30"), ("+0200", "2021-01-03 09:05 GMT+02:00 +0200 +02:00"),
        ("GMT-3:30", "2021-01-03 03:35 GMT-03:30 -0330 -03:30"),
    ],
)  # fmt: skip
def test_an_instant_is_written_in_the_zone_asked_for(zone: str, written: str) -> None:
    text = "{{{dateFormat d 'yyyy-MM-dd HH:mm z Z XXX' tz=zone}}}"
    assert render(text, {"d": MOMENT, "zone": zone}) == written


@pytest.mark.parametrize(
    ("day", "week"),
    [("2019-12-28", "2019 52"), ("2019-12-29", "2020 1"), ("2020-01-04", "2020 1"), ("2020-01-05", "2020 2"),
     ("2022-12-31", "2022 53"), ("2023-01-01", "2023 1"), ("9999-12-31", "9999 53")],
)  # fmt: skip
def test_weeks_begin_on_sunday_and_the_first_holds_the_first_of_january(day: str, week: str) -> None:
    assert render("{{dateFormat d 'YYYY w'}}", {"d": day}) == week


@pytest.mark.parametrize(
    ("text", "pattern", "read"),
    [
        ("19/09/2020", "dd/MM/yyyy", "2020-09-19 00:00:00.000 +0000"),
        ("9/19/20", "short", "2020-09-19 00:00:00.000 +0000"),
        ("1/1/41", "M/d/yy", "1941-01-01 00:00:00.000 +0000"),
        ("1/1/40", "M/d/yy", "2040-01-01 00:00:00.000 +0000"),
        ("Saturday, september 19, 2020", "full", "2020-09-19 00:00:00.000 +0000"),
        ("Sep 19, 2020", "medium", "2020-09-19 00:00:00.000 +0000"),
        ("20200919183001", "yyyyMMddHHmmss", "2020-09-19 18:30:01.000 +0000"),
        ("2020-09-19 06:30 PM", "yyyy-MM-dd hh:mm a", "2020-09-19 18:30:00.000 +0000"),
        ("2020-09-19 12:30 AM", "yyyy-MM-dd hh:mm a", "2020-09-19 00:30:00.000 +0000"),
        ("2020-09-19T18:30:00.5-0700", "yyyy-MM-dd'T'HH:mm:ss.SZ", "2020-09-20 01:30:00.005 +0000"),
        ("2020-09-19 18:30 PST", "yyyy-MM-dd HH:mm z", "2020-09-20 02:30:00.000 +0000"),
        ("2020-09-19 18:30 Europe/Paris", "yyyy-MM-dd HH:mm z", "2020-09-19 16:30:00.000 +0000"),
        ("2020-09-19 18:30 Z", "yyyy-MM-dd HH:mm X", "2020-09-19 18:30:00.000 +0000"),
        ("2020 263", "yyyy D", "2020-09-19 00:00:00.000 +0000"),
        ("24:00", "kk:mm", "1970-01-01 00:00:00.000 +0000"),
        ("AD 2020", "G y", "2020-01-01 00:00:00.000 +0000"),
    ],
)  # fmt: skip
def test_dates_are_read_by_their_input_format(text: str, pattern: str, read: str) -> None:
    template = "{{{dateFormat d 'yyyy-MM-dd HH:mm:ss.SSS Z' inputFormat=p tz='UTC'}}}"
    assert render(template, {"d": text, "p": pattern}) == read


def test_a_day_alone_is_the_same_day_in_every_zone() -> None:
    text = "{{dateFormat d tz='America/Los_Angeles'}}"
    assert render(text, {"d": "2020-09-19"}) == "Sep 19, 2020"
    assert render(text, {"d": "2020-09-19T01:00:00Z"}) == "Sep 18, 2020"
    assert render(text.replace("tz", "inputFormat='yyyyMMdd' tz"), {"d": "20200919"}) == "Sep 19, 2020"


@pytest.mark.parametrize(
    ("text", "pattern", "words"),
    [
        ("2020-13-01", "yyyy-MM-dd", "there is no such date"), ("2020-02-30", "yyyy-MM-dd", "there is no such date"),
        ("2020-02", "yyyy-MM-dd", "not written as inputFormat"), ("2020-02-01x", "yyyy-MM-dd", "goes on behind"),
        ("13:00 PM", "hh:mm a", "there is no such date"), ("Mai 1", "MMM d", "not written as"), ("x" * 65, "yyyy", "no date"),
        ("2020", "qqqq", "the letter q"), ("2020", "'open", "apostrophe"), ("2020 Mars/X", "yyyy z", "not written as"),
        ("9" * 10, "yyyy", "not written as"), ("", "yyyy", "the variable d has no value"),
        ("0001-01-01T00:00+0200", "yyyy-MM-dd'T'HH:mmZ", "outside of the years"),
    ],
)  # fmt: skip
def test_what_is_no_date_fails(text: str, pattern: str, words: str) -> None:
    values: dict[str, str | list[str]] = {"d": text or [], "p": pattern}
    with pytest.raises(RenderingFailed, match=words):
        render("{{dateFormat d inputFormat=p tz='UTC'}}", values)


def test_now_is_the_instant_of_the_occasion() -> None:
    occasion = Occasion(datetime(2024, 2, 29, 23, 59, tzinfo=UTC), "m")
    assert (
        render("{{now 'full'}} {{now 'd MMM' tz='Asia/Tokyo'}}", occasion=occasion)
        == "Thursday, February 29, 2024 1 Mar"
    )


# -- bounds of arguments ------------------------------------------------------------------------------------------------


def test_padding_has_a_widest_text() -> None:
    assert len(render("{{ljust 'x' n}}", {"n": str(limits.MAX_WIDTH)})) == limits.MAX_WIDTH
    assert len(render("{{rjust 'x' n pad='ab'}}", {"n": str(limits.MAX_WIDTH)})) == limits.MAX_WIDTH
    for name in ("center", "ljust", "rjust"):
        with pytest.raises(RenderingFailed, match="at most 10,000 characters") as caught:
            render(f"{{{{{name} 'x' size=n}}}}", {"n": "1e9"})
        assert caught.value.failure is Failure.BAD_VALUE


def test_numbers_have_bounds() -> None:
    assert render("{{add 999999999999999 1}}") == "1000000000000000"
    for text in ("{{add 999999999999999 2}}", "{{multiply n n}}", "{{round n}}"):
        with pytest.raises(RenderingFailed, match="numbers go from"):
            render(text, {"n": "1e300"})
    with pytest.raises(RenderingFailed, match="a number is needed"):
        render("{{round n}}", {"n": "1e999"})


def test_a_literal_is_checked_when_the_template_is_compiled_and_a_value_when_it_is_rendered() -> None:
    compiled = compile_parts([Part("text", "{{abbreviate name n}}")])
    assert [variable.path for variable in compiled.variables] == ["name", "n"]
    with pytest.raises(RenderingFailed, match="abbreviate: at least 4 characters"):
        compiled.render(["Alejandro", "3"], OCCASION)
