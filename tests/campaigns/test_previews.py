"""What a preview finds in the texts of an SMS campaign, by the number they leave from, and what it says without the registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.messaging.v1 import contents_pb2, dispatch_pb2
from heliograph_campaigns.previews import Check, RegisteredNumber, use_cases_of
from heliograph_kit.rpc import reason_of, violations_of
from tests.campaigns.builders import SHOP, a_campaign, content
from tests.campaigns.conftest import Service, Start
from tests.campaigns.crowd import Crowd
from tests.campaigns.registry import PENDING, Registry, serving_registry

FITS = "Example Records: new arrivals this week for you. Reply STOP to end"
SHORT = f"{FITS} https://bit.ly/x"
TEXT = f"{SHOP}/templates/text"
NUMBER, OTHER = "+12065550101", "+12065550102"
Previewed = pb.PreviewCampaignResponse


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[Registry]:
    """A project with one READY number of one use case without links."""
    registry = Registry()  # type: ignore[abstract]
    registry.add_number(NUMBER, registry.add_use_case("news"))
    async with serving_registry(registry):
        yield registry


@pytest_asyncio.fixture
async def previewing(start: Start, registry: Registry) -> Service:
    """A service that answers, with the registry as its peer."""
    return await start(role="api", peer_registry10dlc=registry.target)


def sms(body: str = "", **fields: Any) -> dispatch_pb2.MessageContent:
    """Return what an SMS says inline."""
    return content("", sms_body=body, **fields)


async def preview(service: Service, what: dispatch_pb2.MessageContent, **changes: Any) -> Previewed:
    """Preview a draft."""
    draft = a_campaign(channel="SMS", content=what, **changes)
    return await service.stub.PreviewCampaign(pb.PreviewCampaignRequest(parent=SHOP, draft=draft))


def told(treatment: pb.TreatmentPreview) -> tuple[str, list[str], set[tuple[str, str, bool]]]:
    """Return the check, and ids of use cases with the findings."""
    state = pb.RegistrationCheck.Name(treatment.registration_check).removeprefix("REGISTRATION_CHECK_")
    found = {(f.use_case.rpartition("/")[2], f.reason, f.serious) for f in treatment.findings}
    return state, [name.rpartition("/")[2] for name in treatment.use_cases], found


SHORTENED = {("news", "PUBLIC_SHORTENER", True), ("news", "LINK_NOT_DECLARED", True)}


async def test_a_text_that_fits_has_no_findings(previewing: Service) -> None:
    (treatment,) = (await preview(previewing, sms(FITS))).treatments
    assert told(treatment) == ("DONE", ["news"], set())
    assert (treatment.treatment_id, treatment.sms_body) == ("0", FITS)


async def test_what_carriers_refuse_is_told_with_its_words(previewing: Service) -> None:
    (treatment,) = (await preview(previewing, sms(SHORT))).treatments
    assert told(treatment) == ("DONE", ["news"], SHORTENED)
    assert all(finding.description for finding in treatment.findings)
    assert treatment.findings[0].excerpt == "https://bit.ly/x"


async def test_a_stored_campaign_is_previewed_with_the_text_of_its_template(
    previewing: Service, registry: Registry, crowd: Crowd
) -> None:
    crowd.templates[TEXT].sms.body = f"{FITS}, {{{{User.UserAttributes.first}}}} bit.ly/x"
    campaign = await previewing.create(channel="SMS", content=content(TEXT), paused=True)
    answer = await previewing.stub.PreviewCampaign(pb.PreviewCampaignRequest(parent=SHOP, campaign=campaign.name))
    assert told(answer.treatments[0]) == ("DONE", ["news"], SHORTENED)
    assert answer.treatments[0].sms_body == crowd.templates[TEXT].sms.body
    # A run goes on with a template that was deleted, so it is previewed, too.
    crowd.deleted_templates.add(TEXT)
    again = await previewing.stub.PreviewCampaign(pb.PreviewCampaignRequest(parent=SHOP, campaign=campaign.name))
    assert again == answer


@pytest.mark.parametrize(
    ("what", "body"),
    [
        (content(TEXT), "of the template"),
        (sms("inline", default_body="weakest"), "inline"),
        (content(TEXT, default_body="weakest"), "of the template"),
        (content("", sms_body="inline", overrides=contents_pb2.ContentOverrides(body="strongest")), "strongest"),
    ],
)
async def test_the_strongest_text_is_the_one_that_is_looked_at(
    previewing: Service, crowd: Crowd, what: dispatch_pb2.MessageContent, body: str
) -> None:
    crowd.templates[TEXT].sms.body = "of the template"
    (treatment,) = (await preview(previewing, what)).treatments
    assert treatment.sms_body == body


async def test_each_treatment_is_held_against_the_use_case_of_its_number(
    previewing: Service, registry: Registry
) -> None:
    registry.add_number(OTHER, registry.add_use_case("links", embeddedLink="Yes"), PENDING)
    registry.add_number("+18885550100", f"{SHOP}/x", kind="TOLL_FREE")
    answer = await preview(
        previewing,
        sms(SHORT, origination_number=NUMBER),
        additional_treatments=[
            pb.Treatment(display_name="B", size_percent=10, content=sms(SHORT, origination_number=OTHER)),
            pb.Treatment(display_name="C", size_percent=10, content=sms(SHORT, origination_number="+18885550100")),
            pb.Treatment(display_name="D", size_percent=10, content=sms(SHORT, origination_number="+12065550199")),
        ],
    )
    assert [told(treatment) for treatment in answer.treatments] == [
        ("DONE", ["news"], SHORTENED),
        ("DONE", ["links"], {("links", "PUBLIC_SHORTENER", True)}),
        ("NOT_NEEDED", [], set()),
        ("NO_USE_CASE", [], set()),
    ]
    assert [(t.treatment_id, t.display_name) for t in answer.treatments] == [
        ("0", ""),
        ("1", "B"),
        ("2", "C"),
        ("3", "D"),
    ]


async def test_without_a_named_number_every_ready_use_case_is_asked_once_with_all_texts(
    previewing: Service, registry: Registry
) -> None:
    links = registry.add_use_case("links", embeddedLink="Yes")
    waiting = registry.add_use_case("waiting")
    for number in range(5):
        registry.add_number(f"+1206555020{number}", links)
    registry.add_number("+12065550300", waiting, PENDING)
    registry.add_number("+12065550301", waiting, capabilities=("VOICE",))
    more = [pb.Treatment(display_name="B", size_percent=10, content=sms(FITS))]
    answer = await preview(previewing, sms(SHORT), additional_treatments=more)
    assert [told(treatment) for treatment in answer.treatments] == [
        ("DONE", ["links", "news"], SHORTENED | {("links", "PUBLIC_SHORTENER", True)}),
        ("DONE", ["links", "news"], set()),
    ]
    assert sorted(registry.asked) == [(links, (SHORT, FITS)), (f"{SHOP}/useCases/news", (SHORT, FITS))]


async def test_a_project_without_ready_numbers_has_no_use_case(previewing: Service, registry: Registry) -> None:
    registry.numbers.clear()
    (treatment,) = (await preview(previewing, sms(SHORT))).treatments
    assert told(treatment) == ("NO_USE_CASE", [], set())


async def test_a_use_case_that_is_gone_by_then_is_left_out(previewing: Service, registry: Registry) -> None:
    del registry.use_cases[f"{SHOP}/useCases/news"]
    (treatment,) = (await preview(previewing, sms(SHORT))).treatments
    assert told(treatment) == ("NO_USE_CASE", [], set())


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED]
)
async def test_when_the_registry_does_not_answer_the_preview_says_so(
    previewing: Service, registry: Registry, status: grpc.StatusCode
) -> None:
    registry.refusal = status
    (treatment,) = (await preview(previewing, sms(SHORT))).treatments
    assert told(treatment) == ("UNREACHABLE", [], set())
    assert treatment.sms_body == SHORT


async def test_when_nobody_listens_the_preview_says_so(start: Start, unused_tcp_port: int) -> None:
    alone = await start(role="api", peer_registry10dlc=f"127.0.0.1:{unused_tcp_port}")
    (treatment,) = (await preview(alone, sms(SHORT))).treatments
    assert told(treatment) == ("UNREACHABLE", [], set())


async def test_a_text_that_is_too_long_is_told_without_the_registry_being_asked(
    previewing: Service, registry: Registry
) -> None:
    (treatment,) = (await preview(previewing, sms("x" * 1_601))).treatments
    assert told(treatment) == ("DONE", ["news"], {("", "TEXT_TOO_LONG", True)})
    assert registry.asked == []
    (treatment,) = (await preview(previewing, sms("x" * 1_600))).treatments
    assert "TEXT_TOO_LONG" not in {finding.reason for finding in treatment.findings}


async def test_other_channels_need_no_use_case_and_no_registry(previewing: Service, registry: Registry) -> None:
    registry.refusal = grpc.StatusCode.UNAVAILABLE
    answer = await previewing.stub.PreviewCampaign(pb.PreviewCampaignRequest(parent=SHOP, draft=a_campaign()))
    assert [told(treatment) for treatment in answer.treatments] == [("NOT_NEEDED", [], set())]


async def test_a_preview_keeps_nothing(previewing: Service) -> None:
    await preview(previewing, sms(FITS))
    for table in ("campaigns", "campaign_versions", "runs", "outbox"):
        assert await previewing.rows(f"SELECT count(*) FROM campaigns.{table}") == [(0,)]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.PreviewCampaignRequest(parent=SHOP), [("source", "REQUIRED")]),
        (pb.PreviewCampaignRequest(parent=SHOP, campaign="projects/other/campaigns/c"), [("campaign", "OTHER_PROJECT")]),
        (
            pb.PreviewCampaignRequest(
                parent=SHOP, draft=a_campaign(display_name="", content=content("projects/other/templates/hello"))
            ),
            [("draft.display_name", "INVALID_LENGTH"), ("draft.content.template", "INVALID_NAME")],
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_as_when_it_is_created(
    previewing: Service, request_: pb.PreviewCampaignRequest, expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await previewing.stub.PreviewCampaign(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(violations_of(caught.value)) == expected


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.PreviewCampaignRequest(parent=SHOP, campaign=f"{SHOP}/campaigns/none"), "CAMPAIGN_NOT_FOUND"),
        (pb.PreviewCampaignRequest(parent=SHOP, draft=a_campaign(segment=f"{SHOP}/segments/none")), "SEGMENT_UNUSABLE"),
        (pb.PreviewCampaignRequest(parent=SHOP, draft=a_campaign(channel="SMS")), "TEMPLATE_UNUSABLE"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_told(previewing: Service, request_: pb.PreviewCampaignRequest, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await previewing.stub.PreviewCampaign(request_)
    assert reason_of(caught.value) == reason


A = RegisteredNumber("+1", "TEN_DLC", ready=True, use_case="a")
B = RegisteredNumber("+2", "TEN_DLC", ready=False, use_case="b")
FREE = RegisteredNumber("+3", "TOLL_FREE", ready=True, use_case="")
LOOSE = RegisteredNumber("+4", "TEN_DLC", ready=False, use_case="")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("", (Check.DONE, ("a",))),
        ("+1", (Check.DONE, ("a",))),
        ("+2", (Check.DONE, ("b",))),
        ("+3", (Check.NOT_NEEDED, ())),
        ("+4", (Check.NO_USE_CASE, ())),
        ("+5", (Check.NO_USE_CASE, ())),
    ],
)
def test_which_use_cases_a_text_may_leave_for(number: str, expected: tuple[Check, tuple[str, ...]]) -> None:
    assert use_cases_of(number, [A, B, FREE, LOOSE]) == expected
