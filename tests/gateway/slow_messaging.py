"""The messaging service as a process, with a plugin that takes its time over a call: `python -m tests.gateway.slow_messaging`.

TEST_SECONDS in the environment is how long the plugin takes; on standard error the process says when it has begun.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime

from heliograph_channels import ChannelProvider, InboundMessage, Kind, Received, WebhookRequest
from heliograph_messaging import main
from tests.messaging.scripted import ScriptedChannel

BEGUN = "the plugin has begun"


async def _understand(request: WebhookRequest) -> Received:
    print(BEGUN, file=sys.stderr, flush=True)
    await asyncio.sleep(float(os.environ["TEST_SECONDS"]))
    now = datetime.now(UTC)
    return Received((), (InboundMessage(request.body.decode(), Kind.SMS, "+1", "+2", "Hi", now),))


def _catalogue(*_: object) -> dict[str, ChannelProvider]:
    scripted = ScriptedChannel()
    scripted.understand = _understand
    return {"scripted": scripted}


if __name__ == "__main__":
    setattr(main, "load_catalogue", _catalogue)  # noqa: B010 (mypy: the name is not for others)
    main.main()
