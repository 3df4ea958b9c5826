import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from heliograph_kit.bus import Bus
from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres, PortTaken, free_port, holder_of
from heliograph_kit.embedded.processes import process_in
from tests.kit.data.building import pending, publish


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="heliograph-embedded-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_postgres_starts_again_after_it_was_killed_and_keeps_what_was_committed(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    try:
        dsn = server.start()
        assert dsn.startswith("postgresql+psycopg://heliograph:")
        assert server.start() == dsn
        with server.connect("heliograph") as conn:
            assert conn.execute("SHOW fsync").fetchone() == ("on",)
            assert conn.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
            conn.execute("CREATE TABLE kept AS SELECT 1 AS n")
        server.kill()
        assert not server.running
        assert (folder / "pg/server/data/postmaster.pid").exists(), "the killed server left its pid file behind"
        assert server.start() == dsn, "the port stays"
        with server.connect("heliograph") as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (1,)
        other = EmbeddedPostgres(folder / "pg")
        assert other.start() == dsn, "another process finds the running server"
    finally:
        server.stop()
    assert not server.running
    server.stop()


def test_postgres_refuses_whoever_has_no_password(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", durable=False)
    try:
        server.start()
        password = folder / "pg/password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        port = int((folder / "pg/port").read_text())
        for wrong in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(host="127.0.0.1", port=port, user="heliograph", password=wrong, dbname="heliograph")
        if os.geteuid() == 0:
            process = server.process
            assert process is not None
            assert process.uids().real != 0
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend the server an account")
def test_postgres_runs_for_root_in_a_directory_that_is_closed_to_others(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "pg", durable=False)
    try:
        server.start()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "nothing was opened up for it"
        assert (closed / "pg/server").is_symlink()
        elsewhere = (closed / "pg/server").resolve()
        assert (elsewhere / "data").is_dir()
    finally:
        server.remove()
    assert not server.running
    assert not elsewhere.exists(), "nothing is left outside of the directory"
    server.remove()


async def test_nats_starts_again_after_it_was_killed_and_keeps_what_was_acknowledged(folder: Path) -> None:
    server = EmbeddedNats(folder / "nats")
    try:
        url = server.start()
        assert server.start() == url
        async with Bus.connect(url, name="t") as bus:
            await bus.ensure_streams()
            await publish(bus, 5)
            server.kill()
            assert not server.running
            assert server.start() == url, "port and token stay"
            async with Bus.connect(url, name="t") as again:
                assert await pending(again) == 5
        assert stat.S_IMODE((folder / "nats/token").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "nats/nats.conf").stat().st_mode) == 0o600
    finally:
        server.stop()
    assert not server.running


def test_a_taken_port_is_an_error_that_names_who_has_it(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        for server in (EmbeddedNats(folder / "nats", port=port), EmbeddedPostgres(folder / "pg", port=port)):
            with pytest.raises(PortTaken) as refused:
                server.start()
            assert f"port {port}" in str(refused.value)
            assert f"(pid {os.getpid()})" in str(refused.value)


def test_the_port_of_last_time_is_left_when_somebody_else_has_it(folder: Path) -> None:
    server = EmbeddedNats(folder / "nats")
    server.start()
    server.stop()
    last = int((folder / "nats/port").read_text())
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", last))
        taken.listen(1)
        try:
            assert not server.start().endswith(f":{last}")
        finally:
            server.stop()


@pytest.mark.parametrize(
    "content", ["", "garbage", "999999999", str(os.getpid())], ids=["empty", "garbage", "nobody's", "a stranger's"]
)
def test_a_pid_file_that_names_no_server_of_ours_is_stale(folder: Path, content: str) -> None:
    pid_file = folder / "nats.pid"
    pid_file.write_text(content)
    assert process_in(pid_file, "nats-server", str(folder)) is None


def test_a_free_port_belongs_to_nobody() -> None:
    assert holder_of(free_port()) == "a process of another user"
