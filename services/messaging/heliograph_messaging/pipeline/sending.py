"""The call of a plugin, contained: whatever it does, the worker gets one answer for each message, and in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.trace import SpanKind, Status, StatusCode

from heliograph_channels import Accepted, OutgoingMessage, Rejected, RejectReason, SendResult, Unknown, Unsupported
from heliograph_kit.telemetry import histogram, tracer
from heliograph_messaging.domain import outcomes
from heliograph_messaging.domain.outcomes import Outcome, RetryPolicy
from heliograph_messaging.pipeline.leases import Hold
from heliograph_messaging.providers import OpenChannel
from heliograph_messaging.store.ledger import LeaseLost

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)
_CANCEL_SECONDS = 1.0


@dataclass(frozen=True)
class CallFailed:
    """The call gave no usable answer: nobody knows what became of its messages."""

    detail: str


async def call(
    opened: OpenChannel,
    messages: Sequence[OutgoingMessage],
    hold: Hold,
    *,
    send_timeout: float,
    lease_margin: float,
    batch_id: str,
    chunk: int,
) -> Sequence[SendResult] | CallFailed:
    """Hand messages to the plugin and return its results, or why there are none.

    The call is cut off after `send_timeout` seconds, and `lease_margin` seconds before the lease ends unless that is
    renewed meanwhile: nobody else can have begun with the batch by then.

    Raises:
        LeaseLost: the lease ran out during the call, or before it.
    """
    name = opened.provider.name
    attributes = {
        "heliograph.provider": name,
        "heliograph.channel": messages[0].kind.value,
        "heliograph.message_class": messages[0].message_class,
        "heliograph.batch_id": batch_id,
        "heliograph.chunk": chunk,
        "messaging.batch.message_count": len(messages),
    }
    with _tracer.start_as_current_span(f"send {name}", kind=SpanKind.CLIENT, attributes=attributes) as span:
        began = time.monotonic()
        answer = await _bounded(opened, messages, hold, began + send_timeout, lease_margin)
        labels = {"heliograph.channel": messages[0].kind.value, "heliograph.provider": name}
        histogram("heliograph.messaging.send.duration").record(time.monotonic() - began, labels)
        if isinstance(answer, CallFailed):
            span.set_status(Status(StatusCode.ERROR, answer.detail))
            _log.warning("batch %s, chunk %d: %s", batch_id, chunk, answer.detail)
        return answer


async def _bounded(
    opened: OpenChannel, messages: Sequence[OutgoingMessage], hold: Hold, deadline: float, margin: float
) -> Sequence[SendResult] | CallFailed:
    name = opened.provider.name
    if not hold.remaining(margin):
        raise LeaseLost
    task = asyncio.ensure_future(opened.sender.send_batch(messages))
    try:
        while True:
            patience = min(deadline - time.monotonic(), hold.remaining(margin))
            if patience <= 0:
                break
            # Looks again each second: a renewal moves the end of the lease, a loss brings it forward.
            await asyncio.wait((task,), timeout=min(patience, 1.0))
            if task.done():
                return _checked(name, task, len(messages))
    finally:
        if not task.done():
            await _cancel(name, task)
    if not hold.remaining(margin):
        raise LeaseLost
    return CallFailed(f"the channel plugin {name!r} did not answer in time")


def _checked(name: str, task: asyncio.Future[Sequence[SendResult]], count: int) -> Sequence[SendResult] | CallFailed:
    if task.cancelled():
        return CallFailed(f"the channel plugin {name!r} cancelled its own call")
    error = task.exception()
    if error is not None:
        # The text of an exception may hold a secret: it goes to the operator's log, its type into the ledger.
        _log.error("the channel plugin %s raised", name, exc_info=error)
        return CallFailed(f"the channel plugin {name!r} raised {type(error).__name__}")
    results: object = task.result()
    if not isinstance(results, list | tuple):
        return CallFailed(f"the channel plugin {name!r} answered a {type(results).__name__} instead of a list")
    if len(results) != count:
        return CallFailed(f"the channel plugin {name!r} answered {len(results)} results for {count} messages")
    return results


async def _cancel(name: str, task: asyncio.Future[Sequence[SendResult]]) -> None:
    task.cancel()
    await asyncio.wait((task,), timeout=_CANCEL_SECONDS)
    if not task.done():
        _log.error("the channel plugin %s ignores cancellation; its call is abandoned", name)
        task.add_done_callback(_looked_at)
    elif not task.cancelled():
        task.exception()


def _looked_at(task: asyncio.Future[Sequence[SendResult]]) -> None:
    if not task.cancelled():
        task.exception()


def outcome_of(
    result: SendResult, *, provider: str, idempotent: bool, transactional: bool, failed: int, policy: RetryPolicy
) -> Outcome:
    """Return what the plugin's answer for one message leads to; `failed` counts failed attempts with this one."""
    if isinstance(result, Accepted):
        return Outcome(outcomes.Status.ACCEPTED, provider_message_id=str(result.provider_message_id))
    if isinstance(result, Rejected):
        return outcomes.rejected(
            str(result.reason),
            retryable=bool(result.retryable),
            detail=str(result.detail),
            failed=failed,
            policy=policy,
        )
    if isinstance(result, Unsupported):
        detail = f"{provider} does not support {result.feature}"
        return Outcome(outcomes.Status.FAILED, "FAILURE_PERMANENT", detail[: outcomes.DETAIL_LENGTH])
    if isinstance(result, Unknown):
        detail = str(result.detail)
    else:
        detail = f"the channel plugin {provider!r} answered a {type(result).__name__}"
    return outcomes.unknown(detail, idempotent=idempotent, transactional=transactional, failed=failed, policy=policy)


def provider_is_away(answer: Sequence[SendResult] | CallFailed) -> bool:
    """Tell whether an answer counts against the provider's breaker: no answer, or out of order for every message."""
    if isinstance(answer, CallFailed):
        return True
    return all(
        isinstance(result, Rejected) and result.reason in (RejectReason.UNAVAILABLE, RejectReason.CREDENTIALS)
        for result in answer
    )
