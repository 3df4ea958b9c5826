"""Made-up templates over made-up data come out as handlebars.js renders them."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_messaging.domain.handlebars import Failure, Occasion, Part, RenderingFailed, compile_parts
from tests.messaging import oracle
from tests.messaging.made_templates import Maker, nested
from tests.messaging.templating import row_of

# Held against real handlebars.js in every run; more with HELIOGRAPH_TEST_CASES.
CASES = int(os.environ.get("HELIOGRAPH_TEST_CASES", "1500"))
pytestmark = [pytest.mark.unit, pytest.mark.timeout(max(180, CASES // 20))]
OCCASION = Occasion(datetime(2026, 3, 1, 12, tzinfo=UTC), "m1")


@settings(max_examples=CASES, deadline=None)
@given(st.integers(0, 3), st.integers(0, 2**48), st.booleans())
def test_made_up_templates_render_as_handlebars_renders_them(depth: int, seed: int, html: bool) -> None:
    maker = Maker(Random(seed))
    text, values = maker.template(depth=depth), maker.data()
    lenient = compile_parts([Part("text", text, html=html)], strict=False)
    (found,) = lenient.render(row_of(lenient, values), OCCASION)
    assert found == oracle.rendered(text, nested(values), html=html), (text, values)

    strict = compile_parts([Part("text", text, html=html)])
    with suppress(RenderingFailed):
        assert strict.render(row_of(strict, values), OCCASION) == (found,)


@settings(max_examples=CASES // 5, deadline=None)
@given(st.integers(0, 2**48))
def test_made_up_templates_fail_strictly_only_for_a_variable_or_a_value_and_say_where(seed: int) -> None:
    maker = Maker(Random(seed))
    text, values = maker.template(), maker.data()
    strict = compile_parts([Part("text", text)])
    try:
        strict.render(row_of(strict, values), OCCASION)
    except RenderingFailed as error:
        failed = error
    else:
        return
    assert failed.failure in (Failure.MISSING_VARIABLE, Failure.BAD_VALUE)
    assert failed.site is not None
    line = text.split("\n")[failed.site.line - 1]
    assert 0 < failed.site.column <= len(line)
