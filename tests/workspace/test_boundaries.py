"""Import rules that import-linter cannot say: the SDK is written against pluggy alone, domains against nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SDK = ROOT / "plugins/sdk/heliograph_channels"
# Rules that several services' domains and plugins must share, as none imports another: as pure as a domain.
SHARED_RULES = ("parts", "us_carriers")
DOMAINS = sorted(path for path in ROOT.glob("services/*/heliograph_*/domain*") if path.name in ("domain", "domain.py"))


def imports(path: Path) -> Iterator[str]:
    """Top-level names of what a module imports; relative imports are its own."""
    return (name.partition(".")[0] for name in modules_of(path))


def modules_of(path: Path) -> set[str]:
    """Whole names of the modules a module imports or imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def modules(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("path", modules(SDK), ids=lambda path: str(path.relative_to(SDK)))
def test_the_sdk_imports_pluggy_and_the_standard_library(path: Path) -> None:
    allowed = {"heliograph_channels", "pluggy"}
    if "testing" in path.parts or path.stem == "testing":
        allowed |= {"pytest", "jsonschema"}  # the extra [testing]
    # The extras [http] and [jwt]; nothing else in the SDK imports these modules.
    allowed |= {"http_client.py": {"httpx"}, "destinations.py": {"httpx"}, "jwt.py": {"cryptography"}}.get(
        path.name, set()
    )

    assert {name for name in imports(path) if name not in sys.stdlib_module_names} <= allowed


def test_the_extras_of_the_sdk_are_imported_by_whoever_wants_them_alone() -> None:
    script = "import sys, heliograph_channels; sys.exit(bool({'httpx', 'cryptography', 'pytest', 'jsonschema'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: str(path.parent.name))
def test_a_domain_imports_the_standard_library_and_shared_rules_alone(path: Path) -> None:
    shared = {f"heliograph_channels.{name}" for name in SHARED_RULES}
    for module in modules(path):
        foreign = {
            name for name in modules_of(module) - shared if name.partition(".")[0] not in sys.stdlib_module_names
        }
        assert {name.partition(".")[0] for name in foreign} <= {path.parent.name}, module.name


@pytest.mark.parametrize("name", SHARED_RULES)
def test_a_shared_rule_imports_the_standard_library_alone(name: str) -> None:
    assert set(imports(SDK / f"{name}.py")) <= sys.stdlib_module_names


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: str(path.parent.name))
def test_a_domain_asks_neither_clock_nor_chance(path: Path) -> None:
    forbidden = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.monotonic", "uuid.uuid4"}
    for module in modules(path):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert f"{node.value.id}.{node.attr}" not in forbidden, f"{module.name}:{node.lineno}"
                assert node.value.id != "secrets", f"{module.name}:{node.lineno}"
