"""Reporting receipts when they are due, in batches, from one background task per sender."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterable
from contextlib import suppress

from heliograph_channel_simulator.script import Follow
from heliograph_channels import ProviderContext, Receipt, ReceiptKind

__all__ = ["Postman"]

_BATCH = 500
_RETRY_SECONDS = 1.0
_LAST_REPORT_SECONDS = 5.0


class Postman:
    """Keeps receipts until they are due.

    What is not yet due at the close is dropped; a report under way at the close gets up to 5 s to finish.
    """

    def __init__(self, context: ProviderContext) -> None:
        """Start nothing: the task begins with the first receipt."""
        self._context = context
        self._heap: list[tuple[float, int, str, str, Follow]] = []
        self._number = itertools.count()
        self._earlier = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reporting = asyncio.Lock()

    def expect(self, arrived: Iterable[tuple[str, str, tuple[Follow, ...]]]) -> None:
        """Take (message id, provider's id, follows) of messages that arrived now."""
        start = asyncio.get_running_loop().time()
        first = self._heap[0][0] if self._heap else float("inf")
        for message_id, provider_id, follows in arrived:
            for follow in follows:
                item = (start + follow.delay, next(self._number), message_id, provider_id, follow)
                heapq.heappush(self._heap, item)
        if self._heap and self._task is None:
            self._task = asyncio.create_task(self._run(), name="simulator receipts")
        if self._heap and self._heap[0][0] < first:
            self._earlier.set()

    async def close(self) -> None:
        """Stop; drop what is not due. Safe to repeat."""
        self._heap.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_REPORT_SECONDS), self._reporting:
                pass
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._earlier.clear()
            wait = self._heap[0][0] - loop.time() if self._heap else None
            if wait is None or wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._earlier.wait()
                continue
            async with self._reporting:
                due: list[Receipt] = []
                while self._heap and len(due) < _BATCH and self._heap[0][0] <= loop.time():
                    due.append(self._receipt(*heapq.heappop(self._heap)[2:]))
                failed = due and not await self._report(due)
            while failed:  # reported again with the same ids: receipts are deduplicated
                await asyncio.sleep(_RETRY_SECONDS)
                async with self._reporting:
                    failed = not await self._report(due)

    async def _report(self, due: list[Receipt]) -> bool:
        try:
            await self._context.report(due)
        except Exception:
            self._context.logger.warning("%d receipts were not taken; trying again", len(due), exc_info=True)
            return False
        return True

    def _receipt(self, message_id: str, provider_id: str, follow: Follow) -> Receipt:
        return Receipt(
            receipt_id=f"{message_id}-{follow.kind.lower()}",
            kind=follow.kind,
            time=self._context.now(),
            message_id=message_id,
            provider_message_id=provider_id,
            detail=follow.detail or (_DETAILS[follow.kind] if follow.permanent else "mailbox full (simulated)"),
            permanent=follow.permanent,
            attributes={"link": "https://simulator.example/"} if follow.kind is ReceiptKind.CLICKED else {},
        )


_DETAILS = {kind: f"{kind.lower().replace('_', ' ')} (simulated)" for kind in ReceiptKind}
