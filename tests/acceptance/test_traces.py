"""One trace leads from the call that creates a campaign, over the bus, to the plugin's send."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from heliograph_kit.testing import eventually
from heliograph_suite.demo.stage import Clients
from tests.acceptance.conftest import RunningSuite
from tests.acceptance.spans import Span
from tests.acceptance.story import (
    a_project,
    an_email_template,
    completed_run,
    everybody,
    imported,
    people_csv,
    start_campaign,
    use_simulator,
)

pytestmark = pytest.mark.acceptance


async def test_a_trace_leads_from_the_call_over_the_bus_to_the_send(
    suite: RunningSuite, clients: Clients, write_import: Callable[[str, str], str]
) -> None:
    project = await a_project(clients, "traced")
    await imported(clients, project, write_import("traced.csv", people_csv(20)))
    await use_simulator(clients, project)
    segment = await everybody(clients, project)
    template = await an_email_template(clients, project)
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("the marketer's click") as click:
        campaign = await start_campaign(clients, project, segment, template)
    trace_id = trace.format_trace_id(click.get_span_context().trace_id)
    await completed_run(clients, campaign.name)

    async def complete() -> list[Span] | None:
        spans = suite.spans.of_trace(trace_id)
        return spans if any(span.name.startswith("send simulator") for span in spans) else None

    spans = await eventually(complete, within=30)
    assert spans is not None
    by_id = {span.span_id: span for span in spans}
    send = next(span for span in spans if span.name.startswith("send simulator"))
    assert "messaging" in send.service
    way: list[str] = [send.name]
    here = send
    while here.parent_id in by_id:
        here = by_id[here.parent_id]
        way.append(here.name)
    # From the provider's call back to the click: the bus was crossed, the run and the RPC are on the way.
    assert here.parent_id == trace.format_span_id(click.get_span_context().span_id), way
    assert any("process" in name and "dispatch" in name for name in way), way
    assert "campaign run" in way
    assert any(name.endswith("CampaignService/CreateCampaign") for name in way), way
