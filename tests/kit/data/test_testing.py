import sys
from pathlib import Path

import pytest

from heliograph_kit.testing import ServiceProcess, eventually

SERVICE = """
import os, signal, sys, time
print("booting", file=sys.stderr, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if "--fail" in sys.argv:
    sys.exit("no database")
print("toy ready on", os.environ["HELIOGRAPH_TOY_LISTEN"], flush=True)
time.sleep(60)
"""


async def test_waiting_returns_the_first_truthy_answer_and_says_what_the_last_one_was() -> None:
    answers = iter([0, None, "yes"])
    assert await eventually(lambda: next(answers), every=0.001) == "yes"

    def asserts() -> bool:
        raise AssertionError("not yet")

    with pytest.raises(AssertionError, match="not yet"):
        await eventually(asserts, within=0.05, every=0.01)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toy_service.py").write_text(SERVICE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_service_process_can_be_killed_started_again_and_stopped(toy: Path) -> None:
    with ServiceProcess("toy_service", service="toy", directory=toy, environment={}) as process:
        first, address = process.pid, process.address
        process.kill()
        assert not process.running
        process.restart()
        assert process.pid != first
        assert process.address == address
        assert process.stop() == 0
    assert process.logs.count("booting") == 2


def test_a_service_process_that_ends_shows_its_log(toy: Path) -> None:
    process = ServiceProcess("toy_service", service="toy", directory=toy, environment={}, arguments=["--fail"])
    with pytest.raises(AssertionError, match="no database"):
        process.start().ready()


def test_the_kit_itself_does_not_import_its_testing_part() -> None:
    import subprocess

    code = "import sys, heliograph_kit.runtime, heliograph_kit.consumer; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
