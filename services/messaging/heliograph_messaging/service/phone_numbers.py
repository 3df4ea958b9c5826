"""Looking telephone numbers up in the numbering plans, in a process that lives while it is asked."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

from heliograph_kit.errors import Unavailable, Violations
from heliograph_messaging.phones import KnownNumber, PhoneType, is_country

MAX_CHARACTERS = 64
_IDLE_SECONDS = 600.0
_ANSWER_SECONDS = 60.0


class PhoneNumbers:
    """Asks `heliograph_messaging.phones` in a process of its own, which ends after ten minutes without a question.

    Questions are told apart by number, so that a caller who gives up while the plans are being loaded does not have the next
    one begin anew.
    """

    def __init__(self, idle_seconds: float = _IDLE_SECONDS) -> None:
        """Start nothing; the first question does."""
        self._idle_seconds = idle_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[KnownNumber]] = {}
        self._numbers = itertools.count()
        self._ending: asyncio.TimerHandle | None = None

    async def validate(self, number: str, region: str) -> KnownNumber:
        """Return what the plans know of a number; `region`: two letters of ISO 3166, may be empty.

        Raises:
            InvalidArgument: no number, one that is too long, or no such country.
            Unavailable: the plans cannot be read now.
        """
        found = Violations()
        if not 1 <= len(number) <= MAX_CHARACTERS:
            found.add("phone_number", f"must have 1 to {MAX_CHARACTERS} characters", "INVALID_ARGUMENT")
        if region and not is_country(region):
            found.add("country_code_iso2", "must be two letters of ISO 3166", "INVALID_ARGUMENT")
        found.check()
        id = next(self._numbers)
        try:
            process = await self._running()
            self._asked[id] = asyncio.get_running_loop().create_future()
            assert process.stdin is not None
            process.stdin.write(json.dumps([id, number, region]).encode() + b"\n")
            await process.stdin.drain()
            return await asyncio.wait_for(self._asked[id], _ANSWER_SECONDS)
        except (OSError, TimeoutError, EOFError) as error:
            raise Unavailable("the numbering plans cannot be read now; try again in a moment") from error
        finally:
            self._asked.pop(id, None)
            if not self._asked:
                self._rest()

    async def close(self) -> None:
        """End the process."""
        if self._ending is not None:
            self._ending.cancel()
        reading, process = self._reading, self._process
        self._end()
        if process is not None:
            await process.wait()
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._ending is not None:
            self._ending.cancel()
        async with self._starting:
            if self._process is None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "heliograph_messaging.phones",
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                self._reading = asyncio.create_task(self._read(self._process), name="numbering plans")
            return self._process

    def _rest(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(self._idle_seconds, self._end)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            id, answer = json.loads(line)
            waiting = self._asked.get(id)
            if waiting is not None and not waiting.done():
                waiting.set_result(KnownNumber(**{**answer, "phone_type": PhoneType(answer["phone_type"])}))
        # It ended, whoever ended it: those who wait are not answered any more.
        if self._process is process:
            self._process = None
        await process.wait()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(EOFError("the process ended"))

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
