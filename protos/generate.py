"""Compile the .proto files to Python: `make protos`, `python generate.py`, and hatchling's hook when a wheel is built.

Everything is compiled into a temporary folder first and then renamed into place file by file. A process that imports
the stubs meanwhile therefore never finds a file missing or half written, a failed compilation leaves the old stubs as
they were, and files that did not change keep their time stamps (byte code and mypy caches stay valid).
"""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "gen" / "python"
INIT = '"""Generated from the .proto files; never edited: see protos/README.md."""\n'


def protoc(*arguments: str) -> None:
    """Run the pinned compiler; its plugins (protoc-gen-mypy) are looked up beside this interpreter."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", *arguments], check=True, env=environment)


def compile_into(target: Path) -> None:
    """Write messages, services and their type stubs below `target`, as importable packages."""
    sources = sorted(HERE.glob("heliograph/**/*.proto"))
    services = [source for source in sources if "\nservice " in source.read_text(encoding="utf-8")]
    if sources:
        protoc(f"--python_out={target}", f"--mypy_out=quiet:{target}", *map(str, sources))
    if services:
        protoc(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *map(str, services))
    root = target / "heliograph"
    for folder in {root, *(source.parent for source in root.glob("**/*.py"))}:
        for package in (folder, *(parent for parent in folder.parents if parent.is_relative_to(root))):
            package.mkdir(exist_ok=True)
            (package / "__init__.py").write_text(INIT, encoding="utf-8")
    (root / "py.typed").touch()


def generate() -> int:
    """Bring `gen/python` in line with the .proto files; return how many files changed, stale ones included."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    changed = 0
    with (OUTPUT.parent / ".lock").open("w") as lock, tempfile.TemporaryDirectory(dir=OUTPUT.parent) as temporary:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once would remove each other's files as stale
        compile_into(Path(temporary))
        fresh = {path.relative_to(temporary): path for path in Path(temporary).rglob("*") if path.is_file()}
        for name, path in fresh.items():
            kept = OUTPUT / name
            if not kept.exists() or kept.read_bytes() != path.read_bytes():
                kept.parent.mkdir(parents=True, exist_ok=True)
                path.replace(kept)
                changed += 1
        for old in [path for path in OUTPUT.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
            if old.relative_to(OUTPUT) not in fresh:
                old.unlink()
                changed += 1
    return changed


class GenerateStubs(BuildHookInterface[Any]):
    """hatchling calls this before it packs a wheel, an editable one too; an sdist carries only the sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            generate()


if __name__ == "__main__":
    sys.stdout.write(f"{generate()} generated files changed in {OUTPUT}\n")
