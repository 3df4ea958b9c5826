"""Clients in Go and TypeScript, generated from the protos, do an application's work on the real services."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from heliograph_kit.testing import ServiceProcess
from heliograph_kit.testing.fixtures import MigratedDatabase

pytestmark = pytest.mark.clients
ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "clients"
SECRET = "tests-tests-tests-tests-tests-tests-1"
KEY = "hg_" + "a" * 32 + "_" + "5" * 64
# protoc comes with the compiler that generates our own stubs.
PROTOC = ROOT / ".build-venv" / "bin" / "python"
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.10",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0",
)
SERVICES = ("projects", "segments", "messaging")


def need(*tools: str) -> None:
    """Skip where a toolchain is missing, by name."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def run(*command: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def protoc(*options: str) -> None:
    protos = [
        str(path.relative_to(ROOT / "protos")) for path in sorted((ROOT / "protos" / "heliograph").rglob("*.proto"))
    ]
    run(str(PROTOC), "-m", "grpc_tools.protoc", "-I", str(ROOT / "protos"), *options, *protos)


def fresh(name: str) -> Path:
    folder = BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def services(migrated_database: MigratedDatabase, nats_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The three services an application talks to; yields the environment of a client."""
    (tmp_path / "imports").mkdir()
    people = tmp_path / "imports" / "people.csv"
    people.write_text(
        "Id,ChannelType,Address,Attributes.Tier\n"
        + "".join(f"e{n},EMAIL,p{n}@example.com,{'gold' if n % 4 == 0 else 'blue'}\n" for n in range(100))
        + "broken,EMAIL\n"
    )
    url = migrated_database(*((f"heliograph_{name}", name) for name in SERVICES))
    environment = {
        "HELIOGRAPH_DATABASE_URL": url,
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": SECRET,
        "HELIOGRAPH_PROJECTS_BOOTSTRAP_KEY": KEY,
        "HELIOGRAPH_MESSAGING_SECRET_KEY": SECRET,
        "HELIOGRAPH_SEGMENTS_IMPORT_ROOT": str(tmp_path / "imports"),
    }
    processes = {
        name: ServiceProcess(f"heliograph_{name}.main", service=name, directory=tmp_path, environment=environment)
        for name in SERVICES
    }
    # They look for each other by address, so every address is known before the first one starts.
    peers = {f"HELIOGRAPH_PEER_{name.upper()}": process.address for name, process in processes.items()}
    environment.update(peers)
    started = [
        ServiceProcess(
            f"heliograph_{name}.main",
            service=name,
            directory=tmp_path,
            environment=environment,
            port=int(process.address.rpartition(":")[2]),
        )
        for name, process in processes.items()
    ]
    try:
        for process in started:
            process.start()
        for process in started:
            process.ready()
        yield {
            **{f"HELIOGRAPH_{name.upper()}": process.address for name, process in processes.items()},
            "HELIOGRAPH_KEY": KEY,
            "HELIOGRAPH_SOURCE": people.as_uri(),
        }
    finally:
        for process in started:
            process.stop()


def check(told: dict[str, Any], project: str, refusal: str) -> None:
    assert told == {
        "project": f"projects/{project}",
        "imported": 100,
        "failed": 1,
        "counted": 25,
        "status": told["status"],
        "refused": refusal,
    }
    assert told["status"] in ("MESSAGE_STATUS_ACCEPTED", "MESSAGE_STATUS_DELIVERED")


def test_a_go_client_does_the_work(services: dict[str, str]) -> None:
    need("go")
    folder = fresh("go")
    for plugin in GO_PLUGINS:
        run("go", "install", plugin, environment={"GOBIN": str(folder / "bin")})
    stubs = folder / "heliograph"
    stubs.mkdir()
    protoc(
        *(f"--plugin={name}={folder / 'bin' / name}" for name in ("protoc-gen-go", "protoc-gen-go-grpc")),
        *(
            f"--{kind}_{part}"
            for kind in ("go", "go-grpc")
            for part in (f"out={stubs}", "opt=module=heliograph.dev/heliograph")
        ),
    )
    (stubs / "go.mod").write_text("module heliograph.dev/heliograph\n\ngo 1.24\n")
    client = folder / "client"
    run("go", "build", "-o", str(client), ".", cwd=ROOT / "tests" / "clients" / "go")
    check(
        json.loads(run(str(client), environment={**services, "HELIOGRAPH_PROJECT": "from-go"})),
        "from-go",
        "Unauthenticated",
    )


def test_a_typescript_client_does_the_work(services: dict[str, str]) -> None:
    need("node", "npm")
    folder = fresh("typescript")
    for name in ("main.ts", "package.json", "package-lock.json", "tsconfig.json", ".npmrc"):
        shutil.copy(ROOT / "tests" / "clients" / "typescript" / name, folder)
    run("npm", "ci", cwd=folder)
    (folder / "gen").mkdir()
    protoc(
        f"--plugin=protoc-gen-es={folder / 'node_modules' / '.bin' / 'protoc-gen-es'}",
        f"--es_out={folder / 'gen'}",
        "--es_opt=target=ts,import_extension=js",
    )
    run("npx", "tsc", cwd=folder)
    out = run("node", "out/main.js", cwd=folder, environment={**services, "HELIOGRAPH_PROJECT": "from-typescript"})
    check(json.loads(out), "from-typescript", "Unauthenticated")
