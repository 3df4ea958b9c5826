"""Handlebars for messages: `compile_parts` makes a `Compiled`, that renders. See README.md for how, and what differs."""

from heliograph_messaging.domain.handlebars.compiled import Compiled, Missing, Page, missing_variables
from heliograph_messaging.domain.handlebars.mistakes import (
    CompileError,
    DoesNotCompile,
    Failure,
    RenderingFailed,
    Site,
)
from heliograph_messaging.domain.handlebars.parts import Part, compile_parts, source_of
from heliograph_messaging.domain.handlebars.runtime import Occasion

__all__ = [
    "CompileError",
    "Compiled",
    "DoesNotCompile",
    "Failure",
    "Missing",
    "Occasion",
    "Page",
    "Part",
    "RenderingFailed",
    "Site",
    "compile_parts",
    "missing_variables",
    "source_of",
]
