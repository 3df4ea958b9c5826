"""`heliograph up` and `heliograph status`: what starts, what is restarted, what is told, what is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from heliograph.projects.v1 import projects_pb2
from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres
from heliograph_kit.settings import PORTS
from heliograph_kit.testing import eventually
from heliograph_suite.demo.stage import Clients
from heliograph_suite.installation import SERVICES
from tests.acceptance.conftest import RunningSuite, started
from tests.acceptance.spans import SpanCollector

pytestmark = pytest.mark.acceptance


def heliograph(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heliograph_suite.cli", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_status_shows_every_part_ready(suite: RunningSuite) -> None:
    shown = heliograph("status", "--dir", str(suite.directory))
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.count("ready") == len(SERVICES) + len(("postgres", "nats"))


async def test_the_edge_answers_over_http(suite: RunningSuite) -> None:
    async with httpx.AsyncClient(base_url=f"http://{suite.installation.target('gateway')}") as http:
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.get("/o/x.gif")).headers["content-type"] == "image/gif"
        assert (await http.get("/c/x")).status_code == 404
        assert (await http.post("/hooks/nobody/sms")).status_code == 404


def test_what_is_copied_from_the_terminal_is_on_one_line(suite: RunningSuite) -> None:
    """The log of `up` is as narrow as a terminal of 80 columns."""
    assert f"admin key: {suite.installation.admin_key}" in suite.log.read_text().splitlines()


async def test_a_killed_service_comes_back_and_answers(suite: RunningSuite, clients: Clients) -> None:
    before = suite.kill("projects")

    async def back() -> bool:
        return suite.state()["services"]["projects"]["state"] == "ready" and suite.pid_of("projects") != before

    await eventually(back, within=90)
    assert suite.state()["services"]["projects"]["restarts"] >= 1
    await clients.projects.ListProjects(projects_pb2.ListProjectsRequest())


def test_nothing_started_is_told_as_such(tmp_path: Path) -> None:
    shown = heliograph("status", "--dir", str(tmp_path / "none"))
    assert shown.returncode == 1
    assert "heliograph up" in shown.stdout


def test_a_demonstration_empties_no_folder_but_its_own(suite: RunningSuite, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("keep me")
    for folder, told in ((tmp_path, "no demonstration has made"), (suite.directory, f"pid {suite.process.pid} runs")):
        shown = heliograph("demo", "--dir", str(folder), "--json", str(tmp_path / "demo.json"))
        assert shown.returncode == 1
        assert told in shown.stdout
    assert [path.name for path in tmp_path.iterdir()] == [precious.name]
    assert heliograph("status", "--dir", str(suite.directory)).returncode == 0


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", PORTS["segments"]))
        squatter.listen()
        shown = heliograph("up", "--dir", str(tmp_path / "suite"))
    assert shown.returncode == 1
    assert f"port {PORTS['segments']}" in shown.stdout
    assert f"pid {os.getpid()}" in shown.stdout
    assert not (tmp_path / "suite" / "state.json").exists()


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param(signal.SIGINT, id="ctrl-c"),
        pytest.param(signal.SIGHUP, id="a closed terminal"),
    ],
)
def test_asked_to_stop_it_ends_everything_and_leaves_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    with SpanCollector() as spans, started(tmp_path, {}, spans) as running:
        everything = psutil.Process(running.process.pid).children(recursive=True)
        pids = {child["pid"] for child in running.state()["services"].values()}
        assert pids <= {child.pid for child in everything}
        running.process.send_signal(sign)
        assert running.process.wait(60) == 0
        _, alive = psutil.wait_procs(everything, timeout=5)
        assert alive == []
        assert {child["state"] for child in running.state()["services"].values()} == {"stopped"}
        assert not EmbeddedPostgres(tmp_path / "postgres").running
        assert not EmbeddedNats(tmp_path / "nats").running
