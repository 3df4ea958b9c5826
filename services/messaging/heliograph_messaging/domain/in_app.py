"""What in-app messages may hold (pinpoint-1 4.10, 6.3). They are JSON-like values under the field names of the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from heliograph_messaging.domain.contents import InAppText
from heliograph_messaging.domain.limits import Problem, too_large

MAX_CHARACTERS = 200_000
MAX_CONTENTS = 5
LONGEST: Mapping[str, int] = {"header": 64, "body": 150, "button": 64}
"""What screens show whole, in characters; longer texts are taken and warned of."""

_URL = re.compile(r"https?://[^\s<>\"]+")
_LEADS = ("IN_APP_ACTION_LINK", "IN_APP_ACTION_DEEP_LINK")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


def in_app_problems(in_app: InAppText) -> list[Problem]:
    """Check in-app messages (pinpoint-1 4.10)."""
    found: list[Problem] = []
    if not 1 <= len(in_app.contents) <= MAX_CONTENTS:
        found.append(Problem("contents", f"must be 1 to {MAX_CONTENTS}, not {len(in_app.contents)}"))
    if not in_app.layout.startswith("IN_APP_LAYOUT_"):
        found.append(Problem("layout", "is required"))
    size = sum(map(len, _texts([*in_app.contents, in_app.custom_config])))
    if size > MAX_CHARACTERS:
        found.append(too_large("", f"its texts have {size:,} characters, at most {MAX_CHARACTERS:,} fit"))
    for index, content in enumerate(in_app.contents[:MAX_CONTENTS]):
        at = f"contents[{index}]"
        found += _color_problems(content, at, "background_color", required=False)
        if not _mapping(content, "header") and not _mapping(content, "body") and not content.get("image_url"):
            found.append(Problem(at, "needs a header, a body or an image"))
        if (image := content.get("image_url")) and not _URL.fullmatch(str(image)):
            found.append(Problem(f"{at}.image_url", "must be an http or https address"))
        for name in ("header", "body"):
            if name in content:
                found += _text_problems(_mapping(content, name), f"{at}.{name}")
        for name in ("primary_button", "secondary_button"):
            if name in content:
                found += _button_problems(_mapping(content, name), f"{at}.{name}")
    return found


def _text_problems(text: Mapping[str, object], at: str) -> list[Problem]:
    found = [
        Problem(f"{at}.{name}", "is required") for name in ("text", "alignment") if not isinstance(text.get(name), str)
    ]
    return found + _color_problems(text, at, "text_color", required=True)


def _button_problems(button: Mapping[str, object], at: str) -> list[Problem]:
    found = [] if button.get("text") else [Problem(f"{at}.text", "is required")]
    found += _link_problems(button, at)
    for name in ("background_color", "text_color"):
        found += _color_problems(button, at, name, required=False)
    radius = button.get("border_radius", 0)
    if not isinstance(radius, int) or radius < 0:
        found.append(Problem(f"{at}.border_radius", "must not be negative"))
    for name in ("android", "ios", "web"):
        if name in button:
            found += _link_problems(_mapping(button, name), f"{at}.{name}")
    return found


def _link_problems(button: Mapping[str, object], at: str) -> list[Problem]:
    action = button.get("action")
    if not isinstance(action, str):  # none, or a number of a later version
        return [Problem(f"{at}.action", "is required")]
    if action in _LEADS and not button.get("link"):
        return [Problem(f"{at}.link", "is required with this action")]
    return []


def _color_problems(values: Mapping[str, object], at: str, name: str, *, required: bool) -> list[Problem]:
    color = str(values.get(name, ""))
    if not color and not required:
        return []
    return [] if _COLOR.fullmatch(color) else [Problem(f"{at}.{name}", "must be #RRGGBB")]


def _mapping(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name)
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
