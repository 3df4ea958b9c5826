"""The template compiler: what it renders, what it refuses and where, and that no text ever becomes code."""

from __future__ import annotations

import html
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_messaging.domain.paths import PathProblem, Variable, parse_variable
from heliograph_messaging.domain.templates import DoesNotCompile, Part, compile_parts

pytestmark = pytest.mark.unit


def render(text: str, *, html: bool = False, one_line: bool = False, **values: str) -> str:
    compiled = compile_parts([Part("text", text, html=html, one_line=one_line)])
    (rendered,) = compiled.render([values[variable.path] for variable in compiled.variables])
    return rendered


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Hi {{name}}!", "Hi A&B!"),
        ("{{ name }}{{name}}", "A&BA&B"),
        ("{{{name}}}", "A&B"),
        ("{ {name} } }} {", "{ {name} } }} {"),
        ("a{{! nothing }}b{{!-- }} --}}c", "abc"),
        ("", ""),
        ("{{name}}}", "A&B}"),
        ("'''\\n\"\"\" \\ {v[0]} %s", "'''\\n\"\"\" \\ {v[0]} %s"),
    ],
)
def test_variables_become_values_and_all_else_stays(text: str, rendered: str) -> None:
    assert render(text, name="A&B") == rendered


def test_values_are_escaped_in_html_unless_written_with_three_braces() -> None:
    value = """<b a="1" c='2'>&`="""
    assert html.unescape(render("<p>{{v}}</p>", html=True, v=value)) == f"<p>{value}</p>"
    assert "<b" not in render("{{v}}", html=True, v=value)
    assert render("{{{v}}}", html=True, v=value) == value


def test_a_subject_stays_one_line() -> None:
    assert render("Hello {{v}}", one_line=True, v="a\r\nBcc: x@y") == "Hello a Bcc: x@y"


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a\nbc {{#if x}}", 2, 4, "blocks"),
        ("{{/if}}", 1, 1, "blocks"),
        ("{{else}}", 1, 1, "blocks"),
        ("{{> footer}}", 1, 1, "partials"),
        ("{{upper name}}", 1, 1, "helpers"),
        ("{{join (x) y}}", 1, 1, "helpers"),
        ("{{name", 1, 1, "never closed"),
        ("{{{name}}", 1, 1, "never closed"),
        ("{{}}", 1, 1, "no variable"),
        ("{{~name}}", 1, 1, "whitespace control"),
        ("{{&name}}", 1, 1, "three braces"),
        ("{{@index}}", 1, 1, "blocks"),
        ("{{this.x}}", 1, 1, "blocks"),
        ("{{../x}}", 1, 1, "paths start with a name"),
        ("{{a..b}}", 1, 1, "is not a path"),
        ("{{User.__class__}}", 1, 1, "of User there is"),
        ("{{User.UserAttributes}}", 1, 1, "of User there is"),
        ("{{Attributes}}", 1, 1, "needs one name"),
        ("{{Location.Street}}", 1, 1, "of Location there is"),
        ("{{Recommendations.x}}", 1, 1, "recommendations"),
        ("{{Address.x}}", 1, 1, "no parts"),
        ("{{{{raw}}}}", 1, 1, "braces"),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(DoesNotCompile) as caught:
        compile_parts([Part("html", text, html=True)])
    error = caught.value.errors[0]
    assert (error.part, error.line, error.column) == ("html", line, column)
    assert words in error.problem


def test_every_mistake_of_every_part_is_told_at_once() -> None:
    with pytest.raises(DoesNotCompile) as caught:
        compile_parts([Part("subject", "{{#a}}"), Part("html", "{{b c}}\n{{}}"), Part("text", "{{ok}}")])
    assert [(error.part, error.line) for error in caught.value.errors] == [("subject", 1), ("html", 1), ("html", 2)]


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


def test_fields_are_told_apart_from_what_comes_from_elsewhere() -> None:
    compiled = compile_parts(
        [Part("text", "{{Attributes.a.[0]}} {{Attributes.a}} {{User.UserId}} {{Code}} {{Location.City}}")]
    )
    assert compiled.fields() == ["Attributes.a", "Location.City"]
    assert compiled.names() == ["Code", "User.UserId"]


@given(st.text(max_size=200))
def test_any_text_renders_or_is_refused_and_never_runs(text: str) -> None:
    try:
        compiled = compile_parts([Part("a", text), Part("b", text, html=True)])
    except DoesNotCompile:
        return
    plain, _ = compiled.render(["" for _ in compiled.variables])
    if "{{" not in text:
        assert plain == text


@given(st.text(alphabet="{}#/!.[] ab\n'\"\\", max_size=60))
def test_text_made_of_braces_never_raises_anything_else(text: str) -> None:
    try:
        compile_parts([Part("a", text)])
    except DoesNotCompile as error:
        for one in error.errors:
            assert text.split("\n")[one.line - 1][one.column - 1 :].startswith("{{")


@given(st.text(max_size=40))
def test_any_path_is_read_or_refused(text: str) -> None:
    with suppress(PathProblem):
        assert parse_variable(text).path


@given(st.text(), st.text())
def test_values_never_change_the_text_around_them(before: str, value: str) -> None:
    before = before.replace("{", "(")
    assert render(before + "{{v}}" + before, v=value) == before + value + before
