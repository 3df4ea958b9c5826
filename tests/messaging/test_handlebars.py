"""The template language: what it renders, strictly and leniently, what it refuses and where, and what it needs."""

from __future__ import annotations

import html
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_messaging.domain.handlebars import (
    DoesNotCompile,
    Failure,
    Missing,
    Part,
    RenderingFailed,
    compile_parts,
    missing_variables,
)
from heliograph_messaging.domain.paths import PathProblem, Variable, parse_variable
from tests.messaging.templating import OCCASION, render, row_of

pytestmark = pytest.mark.unit

VALUES = {
    "name": "A&B",
    "items": ["shoe", "hat", "bag"],
    "User.UserAttributes.first": ["Ana"],
    "User.UserAttributes.Last Name": ["Lopez", "Diaz"],
    "Attributes.plan": ["gold"],
    "Location.City": "Lyon",
    "Metrics.score": "0",
}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Hi {{name}}!", "Hi A&B!"),
        ("{{ name }}{{name}}", "A&BA&B"),
        ("{{{name}}}{{&name}}", "A&BA&B"),
        ("{ {name} } }} {", "{ {name} } }} {"),
        ('{"a": {"b": {{Metrics.score}}}, "c": {{{Metrics.score}}}}', '{"a": {"b": 0}, "c": 0}'),
        ("a{{! nothing }}b{{!-- }} --}}c", "abc"),
        ("", ""),
        (r"\{{name}} \\{{name}}", r"{{name}} \A&B"),
        ("'''\\n\"\"\" \\ {v[0]} %s", "'''\\n\"\"\" \\ {v[0]} %s"),
        ("{{items}} {{items.[1]}} {{items.[9]}}", "shoe, hat, bag hat "),
        ("{{User.UserAttributes.[Last Name].[0]}} {{User.UserAttributes.[Last Name]}}", "Lopez Lopez, Diaz"),
        ("{{User/UserAttributes/first}} {{this.name}} {{./name}} {{@root.name}}", "Ana A&B A&B A&B"),
        ("{{#if name}}yes{{else}}no{{/if}}{{#unless name}}yes{{else}}no{{/unless}}", "yesno"),
        ("{{#if Metrics.score}}some{{else}}none{{/if}}{{#if Metrics.score includeZero=true}}, really{{/if}}", "none, really"),
        ("{{#if gone}}a{{else if name}}b{{else}}c{{/if}}{{^gone}}d{{/gone}}{{#if gone}}{{^}}e{{/if}}", "bde"),
        ("{{#each items}}{{@index}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}", "0shoe, 1hat, 2bag"),
        ("{{#each gone}}x{{else}}none{{/each}}{{#each name}}{{.}}{{/each}}", "noneA&B"),
        ("{{#each items as |one number|}}{{number}}={{one}} {{/each}}", "0=shoe 1=hat 2=bag "),
        ("{{#each items}}{{@first}}{{name}}{{../name}} {{/each}}", "trueA&BA&B falseA&BA&B falseA&BA&B "),
        ("{{#each items}}{{#each ../items}}{{@../index}}{{@index}} {{/each}}{{/each}}", "00 01 02 10 11 12 20 21 22 "),
        ("{{#with User.UserAttributes}}{{first}} {{[Last Name].[1]}} {{Location.City}}{{/with}}", "Ana Diaz Lyon"),
        ("{{#with Location}}{{City}}{{/with}}{{#with gone}}x{{else}}y{{/with}}", "Lyony"),
        ("{{#with items as |list|}}{{this.[0]}}{{list.[1]}}{{#each list}}{{.}}{{/each}}{{/with}}", "shoehatshoehatbag"),
        ("{{#items}}{{.}} {{/items}}{{^gone}}none{{/gone}}{{#name}}{{this}}{{/name}}", "shoe hat bag noneA&B"),
        ('{{#*inline "hi"}}Hi {{name}}{{/inline}}{{> hi}}, {{>hi}}', "Hi A&B, Hi A&B"),
        ('{{> late}}{{#* inline "late"}}late{{/inline}}', "late"),
        ('{{#*inline "li"}}<{{this}}{{@index}}{{name}}>{{/inline}}{{#each items}}{{> li}}{{/each}}', "<shoe0A&B><hat1A&B><bag2A&B>"),
        ('{{#*inline "p"}}{{what}} {{City}}{{/inline}}{{> p Location what="in"}}', "in Lyon"),
        ('{{#*inline "p"}}{{#each list}}{{.}}{{/each}}{{/inline}}{{> p list=items}}', "shoehatbag"),
        ('{{#*inline "p"}}a\nb\n{{/inline}}x\n  {{> p}}\ny', "x\n  a\n  b\ny"),
        ("a \n {{~name~}} \n b", "aA&Bb"),
        ("a\n  {{#if name}}\n  b\n  {{else}}\n  c\n  {{/if}}\nd", "a\n  b\nd"),
        ("{{#eq name 'A&B'}}same{{else}}other{{/eq}}{{#upper Location.City}}!{{this}}{{/upper}}", "same!LYON"),
        ("{{lookup items 1}}{{#each items}}{{lookup ../items @index}}{{/each}}", "hatshoehatbag"),
        ('{{upper (replace (lower Location.City) "y" "i-")}}', "LI-ON"),
    ],
)  # fmt: skip
def test_templates_become_text(text: str, rendered: str) -> None:
    assert render(text, VALUES, strict=False) == rendered


def test_values_are_escaped_in_html_unless_written_with_three_braces() -> None:
    value = """<b a="1" c='2'>&`="""
    assert html.unescape(render("<p>{{v}}</p>", {"v": value}, html=True)) == f"<p>{value}</p>"
    assert (
        render("{{v}}", {"v": value}, html=True)
        == "&lt;b a&#x3D;&quot;1&quot; c&#x3D;&#x27;2&#x27;&gt;&amp;&#x60;&#x3D;"
    )
    assert render("{{{v}}}{{&v}}", {"v": value}, html=True) == value * 2
    assert render("{{upper v}}{{#each v}}{{.}}{{/each}}", {"v": "<"}, html=True) == "&lt;&lt;"


@pytest.mark.parametrize("written", ["{{v}}", "{{{v}}}", "{{#each v}}{{.}}{{/each}}", "{{replace v 'x' 'x'}}"])
def test_a_subject_stays_one_line(written: str) -> None:
    assert render(f"Hello {written}", {"v": "a\r\nBcc: x@y"}, one_line=True) == "Hello a Bcc: x@y"


@pytest.mark.parametrize("written", ["{{v}}", "{{{v}}}", "{{#each v}}{{.}}{{/each}}", "{{{cut v 'nothing'}}}"])
def test_values_in_json_stay_inside_of_their_quotes(written: str) -> None:
    value = 'a"b\\c\n\x00</script>\u2028'
    compiled = compile_parts([Part("raw", f'{{"alert": "{written}", "n": {{{{n}}}}}}', json=True)])
    page = compiled.page([[[value], ["x"]] if one.many else [value, "x"] if one.path == "v" else ["1", "2"]
                          for one in compiled.variables], 2)  # fmt: skip
    assert json.loads(page.render(0, OCCASION)[0]) == {"alert": value, "n": 1}
    assert json.loads(page.render(1, OCCASION)[0]) == {"alert": "x", "n": 2}


# -- missing values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "variable", "lenient"),
    [
        ("a{{gone}}b", "gone", "ab"),
        ("a{{{gone}}}b", "gone", "ab"),
        ("{{#if name}}{{Attributes.gone}}{{/if}}", "Attributes.gone", ""),
        ("{{#each items}}{{../gone}}{{/each}}", "gone", ""),
        ("{{items.[7]}}", "items", ""),
        ("{{upper gone}}", "gone", ""),
        ("{{eq (lower gone) 'x'}}", "gone", "false"),
        ("{{join gone ','}}", "gone", ""),
        ("{{replace name gone 'x'}}", "gone", ""),
        ("{{dateFormat gone}}", "gone", ""),
        ("{{eq name 'x' no=gone}}", "gone", ""),
        ("{{lookup items 9}}", "(lookup ...)", ""),
        ("{{#with User.UserAttributes}}{{gone}}{{/with}}", "User.UserAttributes.gone", ""),
        ('{{#*inline "p"}}{{k}}{{/inline}}{{> p k=gone}}', "gone", ""),
        ("{{Metrics.gone}}", "Metrics.gone", ""),
    ],
)
def test_a_missing_value_that_is_rendered_fails_strictly_and_is_left_out_leniently(
    text: str, variable: str, lenient: str
) -> None:
    with pytest.raises(RenderingFailed, match="has no value and no default") as caught:
        render(text, VALUES)
    assert (caught.value.failure, caught.value.variable) == (Failure.MISSING_VARIABLE, variable)
    assert render(text, VALUES, strict=False) == lenient


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{#if gone}}{{gone}}{{else}}friend{{/if}}", "friend"),
        ("{{#unless gone}}friend{{/unless}}", "friend"),
        ("{{#each gone}}{{.}}{{/each}}", ""),
        ("{{#with gone}}{{.}}{{/with}}{{#gone}}{{.}}{{/gone}}{{^gone}}-{{/gone}}", "-"),
        ("{{or gone name}} {{and gone name}} {{not gone}}", "true false true"),
        ("{{eq gone name}} {{neq gone name}} {{gt gone 1}} {{lte gone 1}}", "false true false false"),
        ("{{yesno gone}}", "maybe"),
        ("{{eq gone other}}", "true"),
        ("{{#if false}}{{/if}}{{#if name}}{{else}}{{gone}}{{/if}}", ""),
    ],
)
def test_a_missing_value_that_is_only_tested_fails_nothing(text: str, rendered: str) -> None:
    assert render(text, VALUES) == render(text, VALUES, strict=False) == rendered


def test_what_a_helper_cannot_work_with_fails_strictly_and_is_left_out_leniently() -> None:
    for text, words in (
        ("{{add name 1}}", "add: a number is needed"),
        ("{{divide 1 0}}", "divide: nothing can be divided by 0"),
        ("{{dateFormat name}}", "dateFormat: the value is no date"),
        ("{{dateFormat '2020-09-19' tz=name}}", "dateFormat: there is no such time zone"),
        ("{{decode64 name}}", "decode64: the value is not written in Base64"),
        ("{{substring name Metrics.low}}", "a whole number from 0 on is needed"),
    ):
        with pytest.raises(RenderingFailed, match=words) as caught:
            render(text, {**VALUES, "Metrics.low": "-1"})
        assert caught.value.failure is Failure.BAD_VALUE
        assert caught.value.variable == ""
        assert render(text, {**VALUES, "Metrics.low": "-1"}, strict=False) == ""


def test_a_failure_tells_part_line_and_column() -> None:
    compiled = compile_parts([Part("subject", "x"), Part("html", "a\n  {{#if name}}{{gone}}{{/if}}", html=True)])
    with pytest.raises(RenderingFailed) as caught:
        compiled.render(row_of(compiled, VALUES), OCCASION)
    site = caught.value.site
    assert site is not None
    assert (site.part, site.line, site.column, site.shown) == ("html", 2, 17, "gone")
    assert str(caught.value) == "the variable gone has no value and no default (html, line 2, column 17)"


def test_on_a_page_only_those_fail_who_lack_a_value() -> None:
    compiled = compile_parts([Part("text", "{{a}}<{{b}}", html=True), Part("more", "{{b}}")])
    page = compiled.page([["x", "<", None], ["1", None, "3"]], 3)
    assert page.render(0, OCCASION) == ("x<1", "1")
    for position, variable in ((1, "b"), (2, "a")):
        with pytest.raises(RenderingFailed) as caught:
            page.render(position, OCCASION)
        assert caught.value.variable == variable


@pytest.mark.parametrize("value", ["plain", "<&>", "a\0b", "\0", ""])
def test_columns_are_escaped_as_single_values_are(value: str) -> None:
    compiled = compile_parts([Part("html", "[{{v}}]", html=True)])
    page = compiled.page([["<", value, "x"]], 3)
    assert page.render(1, OCCASION) == compiled.render([value], OCCASION)
    assert page.render(2, OCCASION) == ("[x]",)


# -- what a template needs ----------------------------------------------------------------------------------------------


def test_fields_are_told_apart_from_what_comes_from_elsewhere_wherever_they_stand() -> None:
    compiled = compile_parts(
        [
            Part("text", "{{Attributes.a.[0]}} {{#if Attributes.a}}{{upper User.UserId}}{{/if}} {{#each Code}}{{.}}{{/each}}"),
            Part("html", '{{#*inline "p"}}{{Location.City}}{{/inline}}{{> p}}{{#with Attributes}}{{b}}{{/with}}'),
        ]
    )  # fmt: skip
    assert compiled.fields() == ["Attributes.a", "Attributes.b", "Location.City"]
    assert compiled.names() == ["Code", "User.UserId", "b"]


def test_missing_variables_are_told_with_their_places() -> None:
    compiled = compile_parts(
        [
            Part("subject", "{{a}} {{#if b}}{{c}}{{/if}}"),
            Part(
                "text",
                "\n{{c}}{{#each d}}{{.}}{{/each}}{{upper (lower e)}}{{yesno f}}{{#with Attributes}}{{g}}{{/with}}",
            ),
        ]
    )
    assert missing_variables(compiled, {"a"}) == [
        Missing(Variable("c"), "text", 2, 3, always=True),
        Missing(Variable("e"), "text", 2, 46, always=True),
        Missing(Variable("Attributes.g"), "text", 2, 83, always=False),
    ]
    assert missing_variables(compiled, {"a", "c", "e", "g"}) == []


@pytest.mark.parametrize(
    ("written", "path", "index"),
    [
        ("FirstName", "FirstName", None),
        ("User.UserAttributes.first", "User.UserAttributes.first", None),
        ("User.UserAttributes.[Last Name].[0]", "User.UserAttributes.Last Name", 0),
        ("Attributes.[0]", "Attributes.0", None),
        ("Attributes.plan.[1]", "Attributes.plan", 1),
        ("Attributes.plan-type", "Attributes.plan-type", None),
        ("Metrics.score", "Metrics.score", None),
        ("Demographic.Platform", "Demographic.Platform", None),
        ("order.total", "order.total", None),
    ],
)
def test_paths_are_read_as_the_reference_writes_them(written: str, path: str, index: int | None) -> None:
    assert parse_variable(written) == Variable(path, index)
    assert compile_parts([Part("text", f"{{{{{written}}}}}")]).variables == (Variable(path, index),)


# -- mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a\nbc {{#if x}}", 2, 4, "never closed by {{/if}}"),
        ("{{/if}}", 1, 1, "no block is open"),
        ("{{else}}", 1, 1, "outside of any block"),
        ("{{#if a}}{{#each b}}{{/if}}{{/each}}", 1, 21, "does not close {{#each b}} of line 1"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", 1, 18, "has its {{else}} already"),
        ("{{> footer}}", 1, 1, "no inline partial footer"),
        ("{{up name}}", 1, 1, "no helper up"),
        ("{{#up name}}{{/up}}", 1, 1, "no helper up"),
        ("{{upper}}", 1, 1, "takes 1 arguments, not 0; for a variable of that name write {{this.upper}}"),
        ("{{upper a b}}", 1, 1, "takes 1 arguments, not 2"),
        ("{{substring a}}", 1, 1, "takes 2 to 3 arguments"),
        ("{{and a}}", 1, 1, "takes 2 or more arguments"),
        ("{{eq a b c}}", 1, 1, "takes 2 arguments"),
        ("{{eq a b maybe=1}}", 1, 1, "knows no maybe="),
        ("{{upper a k=1}}", 1, 1, "knows no k="),
        ("{{substring a 'x'}}", 1, 15, "start: a number is needed"),
        ("{{substring a -1}}", 1, 15, "a whole number from 0 on"),
        ("{{abbreviate a 2.5}}", 1, 16, "a whole number is needed"),
        ("{{abbreviate a 3}}", 1, 16, "at least 4"),
        ("{{join 'x' ','}}", 1, 8, "is a list of values"),
        ("{{upper null}}", 1, 9, "cannot be null"),
        ("{{now 'yyyy-bb'}}", 1, 7, "the letter b means nothing"),
        ("{{now 'yyyy' tz='Mars/Base'}}", 1, 17, "no such time zone"),
        ("{{inflect 1 'a' 'b' includeCount='x'}}", 1, 34, "true or false"),
        ("{{#if}}x{{/if}}", 1, 1, "takes one value, not 0"),
        ("{{#if a b=1}}x{{/if}}", 1, 1, "knows only includeZero"),
        ("{{if a}}", 1, 1, "if is a block"),
        ("{{#each a b}}x{{/each}}", 1, 1, "takes one value"),
        ("{{#if a as |x|}}{{/if}}", 1, 1, "have block parameters"),
        ("{{#each a as |upper|}}{{/each}}", 1, 1, "the name of a helper"),
        ("{{#with a as |x y|}}{{/with}}", 1, 1, "one value to name"),
        ("{{name", 1, 1, "never closed"),
        ("{{{name}}", 1, 1, "to be closed by }}}"),
        ("{{!-- x }}", 1, 1, "never closed by --}}"),
        ("{{}}", 1, 1, "no variable"),
        ("{{'x'}}", 1, 1, "alone is no variable"),
        ("{{a b=1 c}}", 1, 9, "arguments stand before key=value"),
        ("{{a (b c}}", 1, 5, "never closed by )"),
        ("{{a %}}", 1, 1, "% cannot stand here"),
        ("{{@index}}", 1, 3, "outside of {{#each}}"),
        ("{{#each a}}{{@../index}}{{/each}}", 1, 14, "outside of {{#each}}"),
        ("{{#each a}}{{@size}}{{/each}}", 1, 14, "is unknown; there are @index"),
        ("{{../x}}", 1, 3, "leads out of the template"),
        ("{{#each a}}{{this.x}}{{/each}}", 1, 14, "leads nowhere"),
        ("{{#each a as |v|}}{{v.x}}{{/each}}", 1, 21, "leads nowhere"),
        ("{{this}}", 1, 3, "is no value"),
        ("{{User}}", 1, 3, "name one, as in User.x"),
        ("{{#each Attributes}}{{/each}}", 1, 9, "is no list"),
        ("{{a/../b}}", 1, 5, "stands only in front of names"),
        ("{{User.__class__}}", 1, 3, "of User there is"),
        ("{{Location.Street}}", 1, 3, "of Location there is"),
        ("{{Recommendations.x}}", 1, 3, "recommendations"),
        ("{{Address.x}}", 1, 3, "no parts"),
        ("{{{{raw}}}}x{{{{/raw}}}}", 1, 1, "not supported"),
        ("{{#> layout}}x{{/layout}}", 1, 1, "partials with a block are not supported"),
        ("{{* inline 'x'}}", 1, 1, "the only decorator is"),
        ('{{#*other "x"}}{{/other}}', 1, 1, "an inline partial is written"),
        ('{{#*inline "p"}}{{/inline}}{{#*inline "p"}}{{/inline}}', 1, 28, "a partial p here already"),
        ('{{#*inline "p"}}{{> p}}{{/inline}}{{> p}}', 1, 17, "would use itself without end"),
        ('{{#*inline "p"}}{{up x}}{{/inline}}', 1, 17, "no helper up"),
        ('{{#each a as |x|}}{{#*inline "p"}}{{x}}{{/inline}}{{> p}}{{/each}}', 1, 37, "hand it over as x="),
        ("a\0b", 1, 2, "belongs to no text"),
        ("a\ud800", 1, 2, "belongs to no text"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(DoesNotCompile) as caught:
        compile_parts([Part("html", text, html=True)])
    error = caught.value.errors[0]
    assert words in error.problem
    assert (error.part, error.line, error.column) == ("html", line, column)


def test_every_mistake_of_every_part_is_told_at_once() -> None:
    parts = [Part("subject", "{{#if a}}{{up b}}"), Part("html", "{{b c}}\n{{}} {{x%}}{{../y}}"), Part("text", "{{ok}}")]
    with pytest.raises(DoesNotCompile) as caught:
        compile_parts(parts)
    assert [(error.part, error.line, error.column) for error in caught.value.errors] == [
        ("subject", 1, 1), ("subject", 1, 10), ("html", 1, 1), ("html", 2, 1), ("html", 2, 6), ("html", 2, 14),
    ]  # fmt: skip


def test_at_most_fifty_mistakes_are_told() -> None:
    with pytest.raises(DoesNotCompile) as caught:
        compile_parts([Part("a", "{{up x}}" * 51), Part("b", "{{up x}}")])
    assert len(caught.value.errors) == 50


# -- any text -----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_any_text_renders_or_is_refused_and_never_runs(text: str) -> None:
    try:
        compiled = compile_parts([Part("a", text), Part("b", text, html=True)])
    except DoesNotCompile:
        return
    plain, _ = compiled.render([[] if variable.many else "" for variable in compiled.variables], OCCASION)
    if "{{" not in text:
        assert plain == text


@given(st.text(alphabet="{}#/!.[]() ab\n'\"\\=|@^>&*~", max_size=60))
def test_text_made_of_signs_never_raises_anything_else(text: str) -> None:
    try:
        compile_parts([Part("a", text)])
    except DoesNotCompile as error:
        for one in error.errors:
            assert 1 <= one.column <= len(text.split("\n")[one.line - 1]) + 1


@given(st.text(max_size=40))
def test_any_path_is_read_or_refused(text: str) -> None:
    with suppress(PathProblem):
        assert parse_variable(text).path


@given(st.text(), st.text())
def test_values_never_change_the_text_around_them(before: str, value: str) -> None:
    before = before.translate({ord("{"): "(", 0: "", ord("\\"): "/"})
    assert render(before + "{{v}}" + before, {"v": [value]}) == before + value + before
