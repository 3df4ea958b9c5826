"""The closed table of helpers: their names, what they take, and what they do (pinpoint-1 6.5).

`#if`, `#unless`, `#each`, `#with` and partials are no helpers; the compiler knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from heliograph_messaging.domain.handlebars import encodings, numbers, texts
from heliograph_messaging.domain.handlebars.dates import format_date, read_date, shifted
from heliograph_messaging.domain.handlebars.runtime import Run, element
from heliograph_messaging.domain.handlebars.values import NoValue, Value
from heliograph_messaging.domain.handlebars.zones import zone_of


class Type(Enum):
    """What an argument has to be."""

    ANY = auto()
    TEXT = auto()
    NUMBER = auto()
    WHOLE = auto()
    """A whole number, 0 or more."""
    INTEGER = auto()
    LIST = auto()
    FLAG = auto()
    PATTERN = auto()
    ZONE = auto()


class _Absent(Enum):
    """Stands for an argument that is not written in the template."""

    ABSENT = auto()


ABSENT: Final = _Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument. `required`: it has to be written; `missing_too`: the helper works with a missing value."""

    name: str
    type: Type
    required: bool = True
    default: Any = None
    missing_too: bool = False


@dataclass(frozen=True, slots=True)
class Helper:
    """One helper. `action` is given a value for each parameter and option, in that order; the run first if `of_run`."""

    name: str
    parameters: tuple[Parameter, ...]
    action: Callable[..., Value]
    options: tuple[Parameter, ...] = ()
    of_run: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A helper that tests. `code` makes a Python expression out of those of the arguments."""

    name: str
    code: Callable[..., str]
    least: int
    most: int | None


CONDITIONS: Mapping[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition("and", lambda *values: f"({' and '.join(values)})", 2, None),
        Condition("or", lambda *values: f"({' or '.join(values)})", 2, None),
        Condition("not", lambda value: f"(not {value})", 1, 1),
        Condition("eq", lambda left, right: f"eq(c, {left}, {right})", 2, 2),
        Condition("neq", lambda left, right: f"(not eq(c, {left}, {right}))", 2, 2),
        Condition("lt", lambda left, right: f"lt(c, {left}, {right}, False)", 2, 2),
        Condition("lte", lambda left, right: f"lt(c, {left}, {right}, True)", 2, 2),
        Condition("gt", lambda left, right: f"lt(c, {right}, {left}, False)", 2, 2),
        Condition("gte", lambda left, right: f"lt(c, {right}, {left}, True)", 2, 2),
    )
}
"""The order of texts is that of their characters; numbers are compared when both sides are some."""


def _date_format(
    run: Run, text: str, positional: Any, input_format: Any, output_format: Any, format: Any, zone: Any
) -> str:
    moment, exact = read_date(text, input_format, now=run.now)
    # A day alone is the same day everywhere; only an instant has another date in another zone.
    if zone is not None and exact:
        moment = shifted(moment, _zone(zone))
    return format_date(moment, positional or output_format or format or "medium")


def _now(run: Run, pattern: Any, zone: Any) -> str:
    moment = run.now if zone is None else shifted(run.now, _zone(zone))
    return format_date(moment, pattern or "medium")


def _zone(name: str) -> Any:
    zone = zone_of(name)
    if zone is None:
        raise NoValue("there is no such time zone")
    return zone


def _uuid(run: Run) -> str:
    run.uuids += 1
    return encodings.nth_uuid(run.message_id, run.uuids)


def _lookup(items: list[str], index: Value) -> str | None:
    # Nothing but a number from 0 on finds anything: there are no names to look up.
    written = str(index) if isinstance(index, int | str) and not isinstance(index, bool) else ""
    return element(items, int(written)) if len(written) < 4 and written.isascii() and written.isdigit() else None


def _padded(name: str, pad: Callable[[str, int, str], str]) -> Helper:
    def action(text: str, size: Any, sign: Any, named_size: Any, named_sign: Any) -> str:
        return pad(text, next(s for s in (size, named_size, 0) if s is not None), sign or named_sign or " ")

    return Helper(
        name,
        (_TEXT, _optional("size", Type.WHOLE), _optional("pad", Type.TEXT)),
        action,
        (_optional("size", Type.WHOLE), _optional("pad", Type.TEXT)),
    )


def _optional(name: str, type: Type, default: Any = None) -> Parameter:
    return Parameter(name, type, required=False, default=default)


def _of_text(name: str, change: Callable[[str], Value]) -> Helper:
    return Helper(name, (_TEXT,), change)


def _of_number(name: str, change: Callable[[float], Value]) -> Helper:
    return Helper(name, (_NUMBER,), change)


def _of_numbers(name: str, change: Callable[[float, float], Value]) -> Helper:
    return Helper(name, (_NUMBER, _NUMBER), change)


_TEXT = Parameter("text", Type.TEXT)
_NUMBER = Parameter("number", Type.NUMBER)
_TZ = _optional("tz", Type.ZONE)

HELPERS: Mapping[str, Helper] = {
    helper.name: helper
    for helper in (
        Helper(
            "abbreviate",
            (_TEXT, Parameter("length", Type.WHOLE)),
            texts.abbreviate,
        ),
        _of_text("capitalize", texts.capitalize),
        _of_text("capitalizeFirst", texts.capitalize_first),
        _of_text("lower", texts.lower),
        _of_text("upper", texts.upper),
        _padded("center", texts.center),
        _padded("ljust", texts.ljust),
        _padded("rjust", texts.rjust),
        Helper("cut", (_TEXT, _optional("what", Type.TEXT, " ")), texts.cut),
        Helper(
            "dateFormat",
            (Parameter("date", Type.TEXT), _optional("outputFormat", Type.PATTERN)),
            _date_format,
            (
                _optional("inputFormat", Type.PATTERN),
                _optional("outputFormat", Type.PATTERN),
                _optional("format", Type.PATTERN),
                _TZ,
            ),
            of_run=True,
        ),
        Helper("now", (_optional("format", Type.PATTERN),), _now, (_TZ,), of_run=True),
        Helper(
            "inflect",
            (_NUMBER, Parameter("singular", Type.TEXT), Parameter("plural", Type.TEXT)),
            texts.inflect,
            (_optional("includeCount", Type.FLAG, default=False),),
        ),
        Helper(
            "join",
            (Parameter("list", Type.LIST), Parameter("separator", Type.TEXT)),
            texts.join,
            (_optional("prefix", Type.TEXT, ""), _optional("suffix", Type.TEXT, "")),
        ),
        Helper("lookup", (Parameter("list", Type.LIST), Parameter("index", Type.ANY, missing_too=True)), _lookup),
        Helper("ordinalize", (Parameter("number", Type.INTEGER),), numbers.ordinalize),
        Helper(
            "replace",
            (_TEXT, Parameter("what", Type.TEXT), Parameter("by", Type.TEXT)),
            texts.replace,
        ),
        _of_text("slugify", texts.slugify),
        _of_text("stripTags", texts.strip_tags),
        Helper(
            "substring",
            (_TEXT, Parameter("start", Type.WHOLE), _optional("end", Type.WHOLE)),
            texts.substring,
        ),
        Helper(
            "yesno",
            (Parameter("value", Type.ANY, missing_too=True),),
            texts.yes_or_no,
            (
                _optional("yes", Type.TEXT, "yes"),
                _optional("no", Type.TEXT, "no"),
                _optional("maybe", Type.TEXT, "maybe"),
            ),
        ),
        _of_numbers("add", numbers.add),
        _of_numbers("subtract", numbers.subtract),
        _of_numbers("multiply", numbers.multiply),
        _of_numbers("divide", numbers.divide),
        _of_numbers("modulo", numbers.modulo),
        _of_number("ceiling", numbers.ceiling),
        _of_number("floor", numbers.floor),
        _of_number("round", numbers.round_half_up),
        _of_text("encode64", encodings.encode64),
        _of_text("decode64", encodings.decode64),
        _of_text("md5", encodings.md5),
        _of_text("sha256", encodings.sha256),
        _of_text("sha512", encodings.sha512),
        Helper("uuid", (), _uuid, of_run=True),
    )
}

BLOCKS = frozenset({"if", "unless", "each", "with"})
NAMES = BLOCKS | CONDITIONS.keys() | HELPERS.keys()
