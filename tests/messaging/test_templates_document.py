"""The examples of docs/templates.md come out as the document says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from heliograph_messaging.domain.handlebars.table import BLOCKS, CONDITIONS, HELPERS
from tests.messaging.templating import render

pytestmark = pytest.mark.unit

TEXT = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
RECIPIENT = json.loads(re.findall(r"```json recipient\n(.*?)```", TEXT, re.DOTALL)[0])
# A row is a template, what it becomes, and a remark; \| is a bar inside of a template.
ROWS = [
    (template.replace("\\|", "|"), rendered)
    for template, rendered in re.findall(r"^\| `((?:[^`\n])+)` \| `([^`\n]*)` \|", TEXT, re.MULTILINE)
]


@pytest.mark.parametrize(("template", "rendered"), ROWS, ids=[template for template, _ in ROWS])
def test_each_example_becomes_the_text_beside_it(template: str, rendered: str) -> None:
    assert render(template, RECIPIENT, html=True) == rendered


def test_the_document_has_an_example_of_every_helper_and_block() -> None:
    written = " ".join(template for template, _ in ROWS)
    missing = {name for name in (*HELPERS, *CONDITIONS, *BLOCKS) if not re.search(rf"(?:\{{\{{#?|\(){name}\b", written)}
    assert not missing


def test_the_sentence_about_whitespace_is_true() -> None:
    assert "`a {{~Code~}} b` is `aX-17b`" in TEXT
    assert render("a {{~Code~}} b", RECIPIENT) == "aX-17b"
