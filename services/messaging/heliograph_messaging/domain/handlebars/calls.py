"""Calls of helpers while a message is rendered: arguments become what the helper takes, work is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heliograph_messaging.domain.handlebars.limits import MAX_OUTPUT, STEP
from heliograph_messaging.domain.handlebars.mistakes import Failure, RenderingFailed
from heliograph_messaging.domain.handlebars.patterns import BadPattern, parse_pattern
from heliograph_messaging.domain.handlebars.runtime import Run, spend
from heliograph_messaging.domain.handlebars.table import ABSENT, Helper, Type
from heliograph_messaging.domain.handlebars.values import NoValue, Value, number_of, text_of
from heliograph_messaging.domain.handlebars.zones import zone_of


def converted(value: Value, type: Type) -> Any:
    """Return an argument as the helper takes it.

    Raises:
        NoValue: it cannot be that.
    """
    return _CONVERSIONS[type](value)


def callable_of(helper: Helper) -> Callable[..., Value]:
    """Return what generated code calls: run, place, then a value or ABSENT for each parameter and option.

    A missing value makes the result missing, unless the helper works with missing values. What it cannot work with
    fails a strict rendering, and is left out of a lenient one.
    """
    taken = [
        (_CONVERSIONS[parameter.type], parameter.default, parameter.missing_too)
        for parameter in (*helper.parameters, *helper.options)
    ]
    action, of_run = helper.action, helper.of_run

    def call(run: Run, site: int, *values: Any) -> Value:
        given: list[Any] = []
        try:
            size = STEP
            for (convert, default, missing_too), value in zip(taken, values, strict=True):
                if value is ABSENT:
                    given.append(default)
                elif value is None or value in _EMPTY:
                    if not missing_too:
                        return None
                    given.append(None)
                else:
                    size += _size(value)
                    given.append(convert(value))
            spend(run, size)
            result = action(run, *given) if of_run else action(*given)
        except NoValue as error:
            if not run.strict:
                return None
            raise RenderingFailed(Failure.BAD_VALUE, f"{helper.name}: {error}", run.sites[site]) from None
        size = _size(result)
        spend(run, size)
        if size > MAX_OUTPUT:
            problem = f"the result of {helper.name} is longer than {MAX_OUTPUT:,} characters"
            raise RenderingFailed(Failure.TOO_MUCH_OUTPUT, problem, run.sites[site])
        return result

    return call


_EMPTY: tuple[Sequence[str], ...] = ([], ())


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(len, value)) if isinstance(value, list | tuple) else 0


def _number(value: Value) -> float:
    number = number_of(value)
    if number is None:
        raise NoValue("a number is needed")
    return number


def _integer(value: Value) -> int:
    number = _number(value)
    if number != int(number):
        raise NoValue("a whole number is needed")
    return int(number)


def _whole(value: Value) -> int:
    number = _integer(value)
    if number < 0:
        raise NoValue("a whole number from 0 on is needed")
    return number


def _flag(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise NoValue("true or false is needed")


def _pattern(value: Value) -> str:
    text = text_of(value)
    try:
        parse_pattern(text)
    except BadPattern as error:
        raise NoValue(str(error)) from error
    return text


def _zone(value: Value) -> str:
    text = text_of(value)
    if zone_of(text) is None:
        raise NoValue("there is no such time zone")
    return text


def _list(value: Value) -> Sequence[str]:
    return value if isinstance(value, list | tuple) else [text_of(value)]


_CONVERSIONS: Mapping[Type, Callable[[Value], Any]] = {
    Type.ANY: lambda value: value,
    Type.TEXT: text_of,
    Type.NUMBER: _number,
    Type.WHOLE: _whole,
    Type.INTEGER: _integer,
    Type.LIST: _list,
    Type.FLAG: _flag,
    Type.PATTERN: _pattern,
    Type.ZONE: _zone,
}
