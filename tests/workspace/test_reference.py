"""The reference pages say what the code does."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_and_every_metric_is_documented_as_it_is() -> None:
    pages = runpy.run_path(str(ROOT / "docs/reference.py"))["pages"]

    for path, text in pages():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run `make reference`"
