"""Write docs/settings.md and docs/metrics.md from the code: `make reference`. A test compares them with what is committed."""

import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from heliograph_kit.settings import ServiceSettings
from heliograph_kit.telemetry.metrics import METRICS

HERE = Path(__file__).resolve().parent
SERVICES = sorted(path.parent.name for path in HERE.parent.glob("services/*/pyproject.toml"))


def settings_class(service: str) -> type[ServiceSettings]:
    """Return the settings class of a service: the one subclass that its config module defines."""
    module = importlib.import_module(f"heliograph_{service}.config")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise SystemExit(f"heliograph_{service}.config defines {len(found)} settings classes, expected one")
    return found[0]


def type_name(annotation: Any) -> str:
    """Say a type the way an operator needs it: what to write into the variable."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(part) for part in arguments if part is not types.NoneType)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (list, tuple, set, frozenset):
        return "list: `a,b,c` or JSON"
    if origin is dict:
        return "JSON object"
    plain = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", SecretStr: "secret"}
    plain_name = plain.get(annotation)
    return plain_name or {"AwareDatetime": "time with zone", "Path": "path"}.get(
        getattr(annotation, "__name__", ""), "text"
    )


def limits(field: FieldInfo) -> str:
    """Say the range of a number in words, empty without one."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    parts = [
        f"{words} {getattr(rule, sign):,}"
        for sign, words in signs.items()
        for rule in field.metadata
        if getattr(rule, sign, None) is not None
    ]
    return ", ".join(parts)


def row(name: str, field: FieldInfo) -> str:
    """One line of a table: the variable, what it takes, its default and its meaning."""
    if field.is_required():
        default = "**required**"
    else:
        value = field.get_default(call_default_factory=True, validated_data={})
        default = (
            ""
            if value is None or value in ("", {}, [])
            else f"`{str(value).lower() if value is True or value is False else value}`"
        )
    takes = "; ".join(part for part in (type_name(field.annotation), limits(field)) if part)
    meaning = (field.description or "").strip().rstrip(".")
    if not meaning:
        raise SystemExit(f"the setting {name} has no description")
    sentence = re.sub(r"\|", r"\\|", meaning[:1].upper() + meaning[1:])
    return f"| `{name}` | {takes} | {default} | {sentence}. |"


def settings_page() -> str:
    """Return the whole settings reference as Markdown."""
    shared = ServiceSettings.model_fields
    head = ["| Variable | Takes | Default | Meaning |", "|---|---|---|---|"]
    lines = [
        "# Settings",
        "",
        "Written by `make reference` from the settings classes. Every service is configured by environment variables alone,",
        "read once at start; all mistakes are told at once. `heliograph-<service> --check-settings` reads them and ends.",
        "",
        "A shared setting is `HELIOGRAPH_<NAME>` for all services, or `HELIOGRAPH_<SERVICE>_<NAME>` for one; the second",
        "wins. An empty variable counts as not set. `OTEL_EXPORTER_OTLP_ENDPOINT` turns on the export of traces and metrics.",
        "",
        "## Shared by all services",
        "",
        *head,
        *(row(f"HELIOGRAPH_{name.upper()}", field) for name, field in shared.items()),
    ]
    for service in SERVICES:
        own = {name: field for name, field in settings_class(service).model_fields.items() if name not in shared}
        lines += ["", f"## {service}", ""]
        if own:
            lines += [
                *head,
                *(row(f"HELIOGRAPH_{service.upper()}_{name.upper()}", field) for name, field in own.items()),
            ]
        else:
            lines += ["Only the shared settings."]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Return the catalogue of metrics as Markdown."""
    lines = [
        "# Metrics",
        "",
        "Written by `make reference` from the catalogue in `heliograph_kit.telemetry.metrics`; nothing else is emitted.",
        "",
        "| Name | Kind | Unit | Attributes | Meaning |",
        "|---|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        attributes = " ".join(f"`{attribute}`" for attribute in sorted(metric.attributes))
        lines.append(
            f"| `{name}` | {metric.kind.value.replace('_', ' ')} | `{metric.unit}` | {attributes} | {metric.description} |"
        )
    return "\n".join(lines) + "\n"


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each generated page with its text."""
    yield HERE / "settings.md", settings_page()
    yield HERE / "metrics.md", metrics_page()


if __name__ == "__main__":
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(HERE.parent)}\n")
