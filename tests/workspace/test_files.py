"""What every folder and every tracked file must be like."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECTS = sorted(
    path
    for path in ROOT.glob("*/**/pyproject.toml")
    if not {".venv", ".build-venv", "build", "node_modules"} & set(path.parts)
)
SERVICES = sorted(path.parent for path in ROOT.glob("services/*/pyproject.toml"))
ROOMS = [
    "main.py",
    "servicer",
    "service",
    "domain",
    "store",
    "tables.py",
    "events.py",
    "errors.py",
    "config.py",
    "migrations",
    "py.typed",
]

# Hosts of package registries and what a lock writes around them, put together from pieces so that this file passes.
ADDRESS = re.compile(
    rb"://[^\s\"'<>]*(" + b"|".join([b"py" + b"pi", b"python" + b"hosted", b"np" + b"mjs", b"registry" + rb"\.", b"proxy" + rb"\.golang", b"/sim" + b"ple\\b"]) + rb")"
    rb"|--(extra-)?index" + rb"-url[ =]\S*://"
)  # fmt: skip


def files_of_the_repository() -> list[Path]:
    """What is tracked, or would be after `git add`."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: the list of tracked files comes from git")
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_all_distributions_carry_the_same_version() -> None:
    versions = {
        path.parent.relative_to(ROOT): tomllib.loads(path.read_text())["project"]["version"] for path in PYPROJECTS
    }

    assert len(set(versions.values())) == 1, versions


def test_no_file_of_the_repository_holds_the_address_of_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in files_of_the_repository()
        if (match := ADDRESS.search(path.read_bytes()))
    ]

    assert found == []


@pytest.mark.parametrize("line", ["--index-" + "url https://mirror.example/x", "https://files.py" + "pi.example/a.whl"])
def test_the_search_for_registry_addresses_finds_one(line: str) -> None:
    assert ADDRESS.search(line.encode())


# The event store is a DuckDB file with columns of its own, and what comes in is recorded, not announced again: there is
# no PostgreSQL schema and no outbox. Its use cases are two rooms, one for each direction.
# The gateway keeps nothing: what another service stores is held for a moment and handed over.
OTHER_ROOMS = {
    "analytics": {"service": "ingestion", "tables.py": "columns.py", "events.py": "recorder.py", "migrations": "store"},
    "gateway": {
        "store": "service/recorder.py",
        "tables.py": "service/keys.py",
        "events.py": "service/messaging.py",
        "migrations": "server.py",
    },
}


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: str(path.name))
def test_every_service_has_the_same_rooms_and_a_readme(service: Path) -> None:
    package = service / f"heliograph_{service.name}"
    rooms = [OTHER_ROOMS.get(service.name, {}).get(room, room) for room in ROOMS]
    # A room is a module, and a package once it grows; several servicers share a package `servicers`.
    missing = [
        room
        for room in rooms
        if not any((package / name).exists() for name in (room, f"{room}.py", f"{room}s", room.removesuffix(".py")))
    ]

    assert missing == []
    assert 8 <= len((service / "README.md").read_text().splitlines()) <= 60
    assert service.name in OTHER_ROOMS or list(package.glob("migrations/versions/0*.py"))


@pytest.mark.parametrize("path", PYPROJECTS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_distribution_is_described_and_licensed(path: Path) -> None:
    project = tomllib.loads(path.read_text())["project"]

    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "Apache-2.0"
    assert project["description"]
    assert (path.parent / "README.md").exists()


def test_every_distribution_is_part_of_the_environment() -> None:
    listed = {
        line.removeprefix("-e ./")
        for line in (ROOT / "requirements/dev.in").read_text().splitlines()
        if line.startswith("-e ")
    }

    assert listed == {str(path.parent.relative_to(ROOT)) for path in PYPROJECTS} - {"plugins/template"}


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: str(path.name))
def test_the_image_of_a_service_gets_all_of_ours_that_it_needs(path: Path) -> None:
    by_name = {tomllib.loads(p.read_text())["project"]["name"]: p.parent.relative_to(ROOT) for p in PYPROJECTS}
    folders = {line.removeprefix("-e ./") for line in (ROOT / f"requirements/{path.name}.in").read_text().splitlines()}

    for folder in folders:
        for dependency in tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]["dependencies"]:
            name = re.split(r"[\[<>=;! ]", dependency)[0]
            if name in by_name:
                assert str(by_name[name]) in folders, f"{folder} needs {name}"


@pytest.mark.parametrize("name", ["lock", "build", "suite", *(path.name for path in SERVICES)])
def test_locks_are_hashed_and_hold_third_party_packages_only(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    requirements = re.findall(r"^[a-z0-9][^\n]*(?:\n    --hash[^\n]*)+", text, re.MULTILINE)

    assert requirements
    assert len(requirements) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)), "a requirement has no hash"
    assert not re.search(r"^(-e|heliograph)", text, re.MULTILINE)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: str(path.name))
def test_a_service_runs_with_the_versions_that_were_tested_together(path: Path) -> None:
    pin = re.compile(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
    everything = dict(pin.findall((ROOT / "requirements/lock.txt").read_text()))
    service = dict(pin.findall((ROOT / f"requirements/{path.name}.txt").read_text()))

    assert service.items() <= everything.items()
