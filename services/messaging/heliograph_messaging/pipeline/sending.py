"""The call of a plugin, contained: whatever it does, the worker gets one answer for each message, and in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.trace import SpanKind, Status, StatusCode

from heliograph_channels import Accepted, OutgoingMessage, Rejected, RejectReason, SendResult, Unsupported
from heliograph_kit.telemetry import histogram, tracer
from heliograph_messaging.answers import clean, hidden, items, type_name
from heliograph_messaging.contained import abandon, answered
from heliograph_messaging.domain import outcomes
from heliograph_messaging.domain.outcomes import Outcome, RetryPolicy
from heliograph_messaging.faults import Fault, PluginFault, tell
from heliograph_messaging.faults import count as count_fault
from heliograph_messaging.pipeline.leases import Hold
from heliograph_messaging.providers import OpenChannel
from heliograph_messaging.redaction import Secrets
from heliograph_messaging.store.ledger import LeaseLost

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)


@dataclass(frozen=True)
class CallFailed:
    """The call gave no usable answer: nobody knows what became of its messages. `detail` names the plugin."""

    detail: str
    fault: Fault


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
            count_fault(name, answer.fault)
        return answer


async def _bounded(
    opened: OpenChannel, messages: Sequence[OutgoingMessage], hold: Hold, deadline: float, margin: float
) -> Sequence[SendResult] | CallFailed:
    name = opened.provider.name
    if not hold.remaining(margin):
        raise LeaseLost
    task = asyncio.ensure_future(answered(lambda: opened.sender.send_batch(messages)))
    try:
        while True:
            patience = min(deadline - time.monotonic(), hold.remaining(margin))
            if patience <= 0:
                break
            # Looks again each second: a renewal moves the end of the lease, a loss brings it forward.
            await asyncio.wait((task,), timeout=min(patience, 1.0))
            if task.done():
                return _checked(name, task, len(messages), opened.secrets)
    finally:
        if not task.done():
            await abandon(name, task)
    if not hold.remaining(margin):
        raise LeaseLost
    return CallFailed(f"the channel plugin {name!r} did not answer in time", Fault.TIMED_OUT)


def _checked(
    name: str, task: asyncio.Future[object], count: int, secrets: Secrets
) -> Sequence[SendResult] | CallFailed:
    if task.cancelled():
        return CallFailed(f"the channel plugin {name!r} cancelled its own call", Fault.RAISED)
    error = task.exception()
    if isinstance(error, PluginFault):
        return CallFailed(secrets.hide(str(error)), error.fault)
    if error is not None:
        # The text of an exception may hold anything: it goes to the operator's log, its type into the ledger.
        _log.error("the channel plugin %s raised", name, exc_info=error)
        return CallFailed(secrets.hide(f"the channel plugin {name!r} raised {type_name(error)}"), Fault.RAISED)
    answer = task.result()
    results = items(answer)
    if results is None:
        detail = f"the channel plugin {name!r} answered a {type_name(answer)} instead of a list"
        return CallFailed(detail, Fault.WRONG_TYPE)
    if len(results) != count:
        detail = f"the channel plugin {name!r} answered {len(results)} results for {count} messages"
        return CallFailed(detail, Fault.WRONG_COUNT)
    cleaned = [clean(result, name) for result in results]
    if wrong := [text for _, text in cleaned if text]:
        tell(name, Fault.WRONG_TYPE, f"{wrong[0]} ({len(wrong)} of {count} results)")
    if not secrets:
        return [result for result, _ in cleaned]
    return [hidden(result, secrets.hide) for result, _ in cleaned]


def outcome_of(
    result: SendResult, *, provider: str, idempotent: bool, transactional: bool, failed: int, policy: RetryPolicy
) -> Outcome:
    """Return what the plugin's answer for one message leads to; `failed` counts failed attempts with this one."""
    if isinstance(result, Accepted):
        return Outcome(outcomes.Status.ACCEPTED, provider_message_id=result.provider_message_id)
    if isinstance(result, Rejected):
        return outcomes.rejected(
            str(result.reason), retryable=result.retryable, detail=result.detail, failed=failed, policy=policy
        )
    if isinstance(result, Unsupported):
        detail = f"{provider} does not support {result.feature}"
        return Outcome(outcomes.Status.FAILED, "FAILURE_PERMANENT", detail[: outcomes.DETAIL_LENGTH])
    return outcomes.unknown(
        result.detail, idempotent=idempotent, transactional=transactional, failed=failed, policy=policy
    )


def provider_is_away(answer: Sequence[SendResult] | CallFailed) -> bool:
    """Tell whether an answer counts against the provider's breaker: no answer, or out of order for every message."""
    if isinstance(answer, CallFailed):
        return True
    return all(
        isinstance(result, Rejected) and result.reason in (RejectReason.UNAVAILABLE, RejectReason.CREDENTIALS)
        for result in answer
    )
