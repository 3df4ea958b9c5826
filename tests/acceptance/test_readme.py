"""The README tells the truth: its commands exist, its example runs, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import RunningSuite

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


def test_two_commands_are_enough() -> None:
    assert commands() == ["make demo", "make test"]


@pytest.mark.parametrize(
    ("command", "last_step"),
    [
        # Both really run elsewhere: the demonstration in test_demo.py, the tests right now.
        pytest.param("make demo", "heliograph demo", id="make demo plays the demonstration that test_demo plays"),
        pytest.param("make test WORKERS=", "python -m pytest", id="make test is what runs this test"),
        pytest.param("make demo ARGS=--stay", "heliograph demo --stay", id="arguments come through"),
        pytest.param("make run", "heliograph up", id="make run starts an empty installation"),
    ],
)
def test_a_command_of_the_readme_does_what_it_says(command: str, last_step: str) -> None:
    assert command.removesuffix(" WORKERS=") in README
    planned = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert planned.stdout.strip().splitlines()[-1].strip().endswith(last_step)


def test_the_example_creates_a_project(suite: RunningSuite) -> None:
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example],
        env={
            **os.environ,
            "HELIOGRAPH_KEY": suite.installation.admin_key,
            "HELIOGRAPH_PROJECTS": suite.installation.target("projects"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"projects/[0-9a-f]{32}\n", done.stdout)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
