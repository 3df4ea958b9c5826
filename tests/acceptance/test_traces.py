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

    root = trace.format_span_id(click.get_span_context().span_id)

    async def complete() -> list[Span] | None:
        # Each service exports its spans in its own time: the way is whole when it has reached the click.
        way = _way_back(suite.spans.of_trace(trace_id))
        return way if way and way[-1].parent_id == root else None

    spans = await eventually(complete, within=30)
    assert spans is not None
    assert "messaging" in spans[0].service
    way = [span.name for span in spans]
    # From the provider's call back to the click: the bus was crossed, the run and the RPC are on the way.
    assert any("process" in name and "dispatch" in name for name in way), way
    assert "campaign run" in way
    assert any(name.endswith("CampaignService/CreateCampaign") for name in way), way


def _way_back(spans: list[Span]) -> list[Span]:
    """The spans from the plugin's send up to the last known parent; empty while no send is known."""
    by_id = {span.span_id: span for span in spans}
    here = next((span for span in spans if span.name.startswith("send simulator")), None)
    way: list[Span] = []
    while here is not None:
        way.append(here)
        here = by_id.get(here.parent_id)
    return way
