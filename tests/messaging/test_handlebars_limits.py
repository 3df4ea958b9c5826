"""Hostile templates and values: nothing of Python is reachable, and work, output and depth are bounded."""

from __future__ import annotations

import re
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_messaging.domain.handlebars import (
    Compiled,
    DoesNotCompile,
    Failure,
    Part,
    RenderingFailed,
    compile_parts,
    limits,
    source_of,
)
from heliograph_messaging.domain.handlebars.table import CONDITIONS
from tests.messaging.templating import OCCASION, render, row_of

pytestmark = pytest.mark.unit

ITEMS = [f"item {number}" for number in range(10_000)]
LONG = "x" * 5_000_000

# -- nothing is reachable -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{{constructor}}", "{{__proto__}}", "{{toString}}", "{{hasOwnProperty}}", "{{__class__}}", "{{__builtins__}}",
        "{{[__import__]}}", "{{v}}{{c}}{{o}}{{e}}", "{{constructor.constructor}}", "{{name.__class__.__mro__}}", "{{items.length}}",
        "{{#with Attributes}}{{__dict__}}{{/with}}", "{{lookup items 'constructor'}}", "{{lookup items '__class__'}}",
        "{{lookup items -1}}", "{{[');import os;(']}}", "{{[{v[0}]}}", "{{this.__class__}}", "{{this.constructor}}", "{{#if __proto__}}x{{/if}}",
        "{{lookup name 1}}", "{{lookup items 999999999999999}}", "{{lookup items '\u0661'}}",
    ],
)  # fmt: skip
def test_names_of_the_inside_are_variables_without_a_value(text: str) -> None:
    values = {"items": ["a", "b"], "name": "n"}
    assert render(text, values, strict=False) in ("", "a, b")
    if "#" not in text:
        with pytest.raises(RenderingFailed) as caught:
            render(text, values)
        assert caught.value.failure is Failure.MISSING_VARIABLE


@pytest.mark.parametrize(
    "text",
    [
        "{{lookup}}", "{{lookup this 'constructor'}}", "{{this.constructor}}x{{this}}",
        "{{#each items}}{{this.constructor}}{{/each}}", "{{#each items}}{{this.__class__}}{{/each}}",
        "{{__import__ 'os'}}", "{{eval '1'}}", "{{#constructor 1}}{{/constructor}}", "{{blockHelperMissing 1}}",
        "{{helperMissing 1}}", "{{log 'x'}}", "{{> @partial-block}}", "{{> (lookup items 0)}}", "{{@root}}", "{{@root.__class__.x y}}",
        "{{#with @root}}{{this}}{{/with}}", "{{User.UserAttributes.first.__class__}}", "{{h0 1}}", "{{(upper name)}}",
    ],
)  # fmt: skip
def test_what_reaches_inside_does_not_compile(text: str) -> None:
    with pytest.raises(DoesNotCompile):
        compile_parts([Part("text", text)])


TRICKS = [
    "{0}", "{v}", "{v[0].__class__}", "%s%n%(v)s", "$name ${name}", "\\x41\\N{DIGIT ONE}\\u0041", "'''", '"""', "');import os;('",
    "\nraise SystemExit\n", "\r\n", "\u2028\u2029\x85", "'\\", "#", "\ufeff", "\U0001f600", "{%raw%}",
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_text_of_authors_and_values_stays_text_wherever_it_stands(trick: str) -> None:
    plain = trick if not trick.endswith("\\") else trick + " "
    template = plain + "{{v}}{{#each l}}" + plain + "{{this}}{{/each}}"
    assert render(template, {"v": trick, "l": [trick, trick]}) == plain + trick + 2 * (plain + trick)
    quoted = trick.replace("\\", "/").replace("'", "")
    assert render(f"{{{{replace v 'q' '{quoted}'}}}}", {"v": "q"}) == quoted


def test_generated_source_holds_the_author_s_text_only_as_literals() -> None:
    evil = "__import__('os').system('true')"
    text = (
        f"{evil}{{{{[{evil}]}}}}{{{{#each evil as |x|}}}}{evil}{{{{x}}}}{{{{/each}}}}"
        f'{{{{#*inline "{evil.replace(chr(39), "")}"}}}}{evil}{{{{/inline}}}}'
        f"{{{{replace a \"{evil}\" 'b'}}}}"
    )
    source = source_of([Part("part", text)])
    outside = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "''", source)
    assert "import" not in outside
    names = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", outside))
    known = set("def render return if else elif for in not and or is None True False pass".split())
    known |= set("v c o z e en eq f ind j join l lt n nu q s t tz".split())
    assert {name for name in names if not re.fullmatch(r"[hfilnxpbr][0-9]+", name)} <= known
    assert "." not in outside.replace("''.join", "")


ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=80)  # lone surrogates and NUL among them
CALLS = [
    "abbreviate v 5", "capitalize v", "capitalizeFirst v", "lower v", "upper v", "center v size=90 pad=w", "ljust v 90 w",
    "rjust v w", "cut v w", "replace v w v", "slugify v", "stripTags v", "substring v 1 w", "join l v prefix=w", "lookup l v",
    "inflect v w w includeCount=w", "ordinalize v", "yesno v", "add v w", "divide v w", "modulo v w", "round v",
    "encode64 v", "decode64 v", "md5 v", "sha256 v", "sha512 v", "dateFormat v", "dateFormat v inputFormat=w",
    "dateFormat '2020-09-19T18:30:00Z' w", "now v tz=w", "eq v w", "lt v w", "gte v w", "and v w",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(CALLS),
    ANY_TEXT,
    st.one_of(ANY_TEXT, st.sampled_from(["0", "-0", "1e308", "NaN", "inf", "٣", "9" * 64])),
)
def test_helpers_take_any_text_there_is(call: str, v: str, w: str) -> None:
    text = f"{{{{{call}}}}}{{{{#{call}}}}}{{{{this}}}}{{{{v}}}}{{{{/{call.split()[0]}}}}}"
    text = text.replace("{{this}}", "") if call.split()[0] in CONDITIONS else text
    compiled = compile_parts([Part("html", text, html=True), Part("subject", text, one_line=True)], strict=False)
    html, subject = compiled.render(row_of(compiled, {"v": [v], "w": [w], "l": [v, w]}), OCCASION)
    assert "<" not in html
    assert "\n" not in subject
    with suppress(RenderingFailed):
        strict = compile_parts([Part("html", text, html=True)])
        assert strict.render(row_of(strict, {"v": [v], "w": [w], "l": [v, w]}), OCCASION) == (html,)


# -- work, output, depth ------------------------------------------------------------------------------------------------


def failure_of(text: str, values: dict[str, str | list[str]]) -> RenderingFailed:
    """Render what must fail, in bounded time and memory (reliability 6.4: 100 ms and 64 MB; the machine may be busy)."""
    compiled = compile_parts([Part("html", text, html=True)])
    row = row_of(compiled, values)
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(RenderingFailed) as caught:
            compiled.render(row, OCCASION)
        assert time.process_time() - began < 5  # with every allocation traced
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()
    return caught.value


NESTED_LOOPS = "{{#each items}}" * 10 + "{{this}}" + "{{/each}}" * 10
DOUBLING = (
    '{{#*inline "p0"}}xxxxxxxxxx{{/inline}}'
    + "".join(f'{{{{#*inline "p{n}"}}}}{{{{> p{n - 1}}}}}{{{{> p{n - 1}}}}}{{{{/inline}}}}' for n in range(1, 16))
    + "{{> p15}}" * 10
)
DOUBLED_REPLACE = "(replace " * 12 + "'aa'" + " 'a' 'aaaaaaaaaaaaaaaa')" * 12


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        (NESTED_LOOPS, Failure.TOO_MUCH_WORK),
        (NESTED_LOOPS.replace("{{this}}", ""), Failure.TOO_MUCH_WORK),
        (DOUBLING, Failure.TOO_MUCH_WORK),
        ("{{#each items}}{{#each ../items}}{{#each ../../items}}{{lower long}}{{/each}}{{/each}}{{/each}}", Failure.TOO_MUCH_WORK),
        ("{{slugify long}}" * 100, Failure.TOO_MUCH_WORK),
        ("{{#if (eq long long)}}{{/if}}" * 100, Failure.TOO_MUCH_WORK),
        ("{{#each many}}{{this}}{{/each}}", Failure.TOO_MUCH_WORK),
        ("{{long}}", Failure.TOO_MUCH_OUTPUT),
        ("{{#if long}}{{{long}}}{{/if}}", Failure.TOO_MUCH_OUTPUT),
        ("{{{many}}}", Failure.TOO_MUCH_OUTPUT),
        ("{{some}}" * 11, Failure.TOO_MUCH_OUTPUT),
        ("{{#if some}}" + "{{{some}}}" * 11 + "{{/if}}", Failure.TOO_MUCH_OUTPUT),
        ("{{#each items}}{{{../some}}}{{/each}}", Failure.TOO_MUCH_OUTPUT),
        (f"{{{{upper {DOUBLED_REPLACE}}}}}", Failure.BAD_VALUE),
        ("{{join many long}}", Failure.TOO_MUCH_WORK),
        ("{{#each items}}{{ljust this 10000}}{{rjust ../some 10000}}{{/each}}", Failure.TOO_MUCH_OUTPUT),
    ],
    ids=range(16),
)  # fmt: skip
def test_bombs_are_named_failures_of_the_recipient(text: str, failure: Failure) -> None:
    values: dict[str, str | list[str]] = {"items": ITEMS[:15], "long": LONG, "many": [LONG] * 3, "some": "<" * 100_000}
    assert failure_of(text, values).failure is failure


def test_a_list_of_any_length_is_gone_through_for_fifteen_items() -> None:
    text = "{{#each items}}{{@index}}{{#if @last}}!{{/if}} {{/each}}{{#each items as |x|}}{{x}}{{/each}}"
    rendered = render("{{#each items}}{{@index}}{{#if @last}}!{{/if}} {{/each}}", {"items": ITEMS})
    assert rendered.split() == [*map(str, range(14)), "14!"]
    assert render(text, {"items": ITEMS[:15]}) == render(text, {"items": ITEMS[:16]})
    assert render("{{#items}}{{@index}} {{/items}}", {"items": ITEMS}).split() == [*map(str, range(15))]


@pytest.mark.parametrize(
    "text", ["{{v}}{{v}}", "{{#if v}}{{v}}{{v}}{{/if}}", "{{#each v}}{{this}}{{../v}}{{/each}}", "{{v}}{{lower v}}"]
)
def test_output_is_bounded_to_the_character(text: str) -> None:
    half = limits.MAX_OUTPUT // 2
    assert len(render(text, {"v": "a" * half})) == limits.MAX_OUTPUT
    with pytest.raises(RenderingFailed) as caught:
        render(text + "x", {"v": "a" * half})
    assert caught.value.failure is Failure.TOO_MUCH_OUTPUT


def test_recipients_after_costly_ones_still_get_their_share() -> None:
    compiled = compile_parts(
        [Part("text", "{{#each a}}{{#each ../a}}{{#each ../../a}}{{this}} {{/each}}{{/each}}{{/each}}")]
    )
    [variable] = compiled.variables
    assert variable.many
    few, many = ["x"], ["y"] * 15
    count = 1000
    page = compiled.page([[few if number == count - 1 else many for number in range(count)]], count)
    results = [_result(page.render, number) for number in range(count)]
    assert results[0] is None
    assert results[count - 2] is Failure.TOO_MUCH_WORK
    assert results[count - 1] is None


def _result(rendering: Callable[..., object], position: int) -> Failure | None:
    try:
        rendering(position, OCCASION)
    except RenderingFailed as failed:
        return failed.failure
    return None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * (limits.MAX_CHARACTERS + 1), "at most 800,000 fit"),
        ("{{a}}" * (limits.MAX_TAGS + 1), "more than 5,000 expressions"),
        ("{{#if a}}" * 17 + "{{/if}}" * 17, "more than 16 blocks"),
        ("{{#if a}}" * 60_000, "more than 16 blocks"),
        ("{{#if a}}x" + "{{else if b}}x" * 101 + "{{/if}}", "more than 100 {{else if}}"),
        ("{{#each a}}x" + "{{else each b}}x" * 100 + "{{/each}}", "too many blocks"),
        ("{{upper " + "(upper " * 17 + "a" + ")" * 17 + "}}", "more than 16 parentheses"),
        ("{{upper " + "(" * 100_000 + "}}", "cannot be an expression in parentheses"),
        ("{{and " + "a " * 51 + "}}", "at most 50 arguments"),
        ("{{add 9999999999999999 1}}", "numbers go from"),
        ("{{" + "a." * 100_000 + "b}}", "at most 20 segments"),
        (
            "".join(f'{{{{#*inline "p{n}"}}}}{{{{> p{n + 1}}}}}{{{{/inline}}}}' for n in range(17))
            + '{{#*inline "p17"}}x{{/inline}}{{> p0}}',
            "more than 16 partials",
        ),
        (
            '{{#*inline "p"}}' + "{{a}}" * 1000 + "{{/inline}}" + "".join(f"{{{{> p k{n}=a}}}}" for n in range(30)),
            "more than 20,000 parts",
        ),
        ("{{!" * 100_000, "never closed"),
        ("{{a '" * 100_000, "never closed"),
        ('{{#*inline "p"}}{{> q}}{{/inline}}{{#*inline "q"}}{{> p}}{{/inline}}{{> p}}', "use itself"),
    ],
    ids=range(16),
)  # fmt: skip
def test_templates_past_a_bound_do_not_compile(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(DoesNotCompile) as caught:
        compile_parts([Part("text", text)])
    assert words in " ".join(error.problem for error in caught.value.errors)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "text",
    [
        "x" * limits.MAX_CHARACTERS,
        "{{a}}" * limits.MAX_TAGS,
        "{{#if a}}" * 16 + "x" + "{{/if}}" * 16,
        "{{#each a}}" * 16 + "x" + "{{/each}}" * 16,
        "{{#if a}}x" + "{{else if b}}x" * 100 + "{{/if}}",
        "{{#if a}}" * 15 + "{{#if a}}x" + "{{else if b}}x" * 100 + "{{/if}}" * 16,
        "{{upper " + "(upper " * 16 + "a" + ")" * 16 + "}}",
        "{{and " + "a " * 50 + "}}",
        " " * 790_000 + "{{~a~}}",
        "{{#if a}}" + " \n" * 390_000 + "{{/if}}",
        "{{!" + "-" * 790_000 + "}}",
        "{{" + "a." * 19 + "b}}",
    ],
    ids=range(12),
)
def test_templates_at_a_bound_compile_in_bounded_time(text: str) -> None:
    began = time.process_time()
    compiled = compile_parts([Part("text", text, html=True)], strict=False)
    assert time.process_time() - began < 10
    compiled.render(row_of(compiled, {"a": "1"}), OCCASION)


def test_no_template_exhausts_the_stack() -> None:
    """Compile and render the deepest template there may be with a fifth of the usual stack left."""
    deep = "{{#each a}}" * 15 + "{{#if a}}x" + "{{else if b}}x" * 100 + "{{/if}}" + "{{/each}}" * 15
    nested = "{{upper " + "(upper " * 16 + "a" + ")" * 16 + "}}"
    partials = "".join(f'{{{{#*inline "p{n}"}}}}{{{{> p{n + 1}}}}}{{{{/inline}}}}' for n in range(15))
    loops = "{{#each a}}" * 15 + nested + "{{/each}}" * 15
    text = partials + '{{#*inline "p15"}}' + loops + "{{/inline}}{{> p0}}" + deep
    found: list[Compiled | BaseException] = []

    def work() -> None:
        try:
            compiled = compile_parts([Part("text", text)])
            compiled.render(row_of(compiled, {"a": ["x"]}), OCCASION)
            found.append(compiled)
        except BaseException as error:  # told to the test below, which runs in another thread
            found.append(error)

    def down(levels: int) -> None:
        down(levels - 1) if levels else work()

    thread = threading.Thread(target=down, args=(sys.getrecursionlimit() // 2,))
    thread.start()
    thread.join()
    assert not isinstance(found[0], BaseException), repr(found[0])[:300]
