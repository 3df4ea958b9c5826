"""The plugin guide names everything a plugin author can use, and what it shows works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import heliograph_channels
from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    DecisionState,
    Kind,
    Registrar,
    RejectReason,
    Sender,
    call_settings,
    calls,
    hooks,
    http_client,
    testing,
)

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plugin-guide.md").read_text()
BUNDLED = (
    "apns",
    "fcm",
    "ses",
    "simulator",
    "smtp",
    "telnyx",
    "twilio",
    "webhook",
    "webpush",
    "template",
)  # the template is installed by whoever copies it, not by us


def documented(name: str) -> bool:
    return re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", GUIDE) is not None


def public_names() -> list[str]:
    methods = [name for base in (ChannelProvider, Sender, Registrar) for name in vars(base) if not name.startswith("_")]
    hook_names = [name for name in vars(hooks) if name.startswith("heliograph_")]
    return [*heliograph_channels.__all__, *testing.__all__, *hook_names, *methods]


@pytest.mark.parametrize("name", sorted(set(public_names())))
def test_the_guide_names_everything_public(name: str) -> None:
    assert documented(name)


@pytest.mark.parametrize("word", [*Kind, *RejectReason, *DecisionState])
def test_the_guide_names_every_word_an_author_chooses_from(word: str) -> None:
    assert word in GUIDE


def test_the_channel_with_one_call_per_message_is_one() -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "(CallProvider)" in block]
    names = {**vars(heliograph_channels), **vars(calls), **vars(call_settings), **vars(http_client), "json": json}
    exec(code, names)
    acme: ChannelProvider = names["AcmeChannel"]()
    given = {"token": "t" * 16, "connections": 30}
    assert [problem.field for problem in acme.check_settings({"connections": 201})] == ["token", "connections"]
    assert acme.check_settings(given) == []
    assert acme.capabilities_for(given) == Capabilities(batch_size=10, concurrency=3)
    assert acme.capabilities_for({**given, "key": "k" * 16}).webhook
    assert issubclass(names["AcmeSender"], calls.CallSender)


@pytest.mark.parametrize("plugin", BUNDLED)
def test_bundled_plugins_are_ordinary_distributions(plugin: str) -> None:
    project = tomllib.loads((ROOT / "plugins" / plugin / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"heliograph-channel-{plugin}"
    assert project["version"] == distribution("heliograph-channel-sdk").version
    assert project["entry-points"]["heliograph.channels"] == {plugin: f"heliograph_channel_{plugin}"}
    folder = ROOT / "plugins" / plugin
    assert (folder / "README.md").read_text().strip()
    assert (folder / f"heliograph_channel_{plugin}" / "py.typed").exists()


def test_the_sdk_depends_on_pluggy_only() -> None:
    needed = [Requirement(text) for text in distribution("heliograph-channel-sdk").requires or []]
    assert [item.name for item in needed if item.marker is None] == ["pluggy"]


@pytest.mark.parametrize("plugin", ["sdk", *BUNDLED])
def test_only_the_testing_kit_imports_test_libraries(plugin: str) -> None:
    for module in (ROOT / "plugins" / plugin).rglob("*.py"):
        if {"testing", "tests"} & set(module.parts[len(ROOT.parts) :]):
            continue
        assert not re.search(
            r"^\s*(from|import) (pytest|jsonschema|heliograph_channels\.testing)", module.read_text(), re.MULTILINE
        )


def test_a_copy_renamed_as_the_readme_says_is_found_and_passes_the_contract(tmp_path: Path) -> None:
    source = ROOT / "plugins" / "template"
    copy = tmp_path / "acme"
    for file in source.rglob("*"):
        if file.suffix not in (".py", ".toml", ".md", ".typed") or "__pycache__" in file.parts:
            continue
        target = copy / str(file.relative_to(source)).replace("template", "acme")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text().replace("template", "acme").replace("Template", "Acme"))
    # What an installer writes, without one: no network, no build, the same entry point.
    entry = re.search(r'\[project\.entry-points\."(.+)"\]\n(.+) = "(.+)"', (copy / "pyproject.toml").read_text())
    assert entry is not None
    info = copy / "heliograph_channel_acme-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heliograph-channel-acme\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")
    environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"}
    show = "from heliograph_channels import load_channels; print(sorted(load_channels(['acme'])))"
    found = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['acme']"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(copy)]
    passed = subprocess.run(run, env=environment, capture_output=True, text=True, cwd=copy)
    assert passed.returncode == 0, passed.stdout
    match = re.search(r"(\d+) passed", passed.stdout)
    assert match
    assert int(match[1]) > 30


def test_pip_install_of_the_template_makes_it_appear(tmp_path: Path) -> None:
    builder = next((path for path in (ROOT / ".build-venv", ROOT / ".venv") if _has_hatchling(path)), None)
    if builder is None:
        pytest.skip("hatchling is not installed here (make setup puts it into .build-venv)")
    wheels = tmp_path / "wheels"
    for plugin in ("sdk", "template"):
        build = [str(builder / "bin" / "python"), "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(build, cwd=ROOT / "plugins" / plugin, check=True, capture_output=True)
    venv.create(tmp_path / "fresh", with_pip=False)
    python = str(tmp_path / "fresh" / "bin" / "python")
    pluggy = str(Path(str(distribution("pluggy").locate_file("pluggy"))).parent)
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        *map(str, wheels.glob("*.whl")),
    ]
    subprocess.run(install, check=True, capture_output=True)
    show = f"import sys; sys.path.append({pluggy!r}); from heliograph_channels import load_channels; print(list(load_channels(['template'])))"
    found = subprocess.run([python, "-I", "-c", show], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['template']"


def _has_hatchling(environment: Path) -> bool:
    return any(environment.glob("lib/python3*/site-packages/hatchling"))
