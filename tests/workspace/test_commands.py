"""The Makefile explains itself, and its checks see what they are meant to see."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASKED_FOR = "help setup protos lint types test bench run demo lock lock-upgrade manifests images clean".split()


def make_help() -> str:
    return subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout


def test_help_lists_every_target_in_sections() -> None:
    text = make_help()

    listed = re.findall(r"^  ([a-z-]+) +\S", text, re.MULTILINE)
    assert set(ASKED_FOR) <= set(listed)
    assert re.findall(r"^[A-Z].*$", text, re.MULTILINE) == ["Start here", "Check", "Change", "Ship"]


def test_every_target_a_person_may_call_is_phony_and_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))

    assert explained <= phony
    assert phony - explained == {"buf-breaking", "locks"}  # called by lint and lock


@pytest.mark.parametrize("path", ["Makefile", ".ci/run", "Dockerfile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_the_repository_has_its_front_matter(path: str) -> None:
    assert (ROOT / path).stat().st_size > 0


def test_the_ci_script_is_valid_and_may_be_executed() -> None:
    script = ROOT / ".ci/run"

    subprocess.run(["bash", "-n", script], check=True)
    assert script.stat().st_mode & 0o111


def test_decisions_are_numbered_without_gaps_listed_and_short() -> None:
    folder = ROOT / "docs/decisions"
    records = sorted(folder.glob("0*.md"))
    index = (folder / "README.md").read_text()

    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        text = path.read_text()
        assert f"({path.name})" in index
        assert len(text.splitlines()) <= 40
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert part in text
