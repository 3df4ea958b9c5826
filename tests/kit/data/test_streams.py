import itertools

import pytest

from heliograph_kit import streams


@pytest.mark.parametrize(
    ("subject", "stream", "project", "template"),
    [
        (streams.events_subject("shop"), "EVENTS", "shop", "events.{project}"),
        (streams.messages_subject("shop"), "MESSAGES", "shop", "messages.{project}"),
        (streams.dispatch_subject("journey", "shop"), "DISPATCH", "shop", "dispatch.journey.{project}"),
        (
            streams.changes_subject("segments", "shop", "segment"),
            "CHANGES",
            "shop",
            "changes.segments.{project}.segment",
        ),
        (streams.dead_subject("messaging"), "DEAD", "", "dead.messaging"),
    ],
)
def test_each_subject_has_one_stream_and_a_template_without_the_project(
    subject: str, stream: str, project: str, template: str
) -> None:
    found = streams.stream_of(subject)
    assert found is not None
    assert found.name == stream
    assert streams.project_of_subject(subject) == project
    assert streams.template_of(subject) == template


@pytest.mark.parametrize("project", ["", "a.b", "*", ">", "a b", "a\r\nb", "x" * 65, "é"])
def test_an_id_that_would_reach_another_subject_is_refused(project: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        streams.events_subject(project)


def test_an_unknown_message_class_is_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        streams.dispatch_subject("promotional", "shop")


def test_no_subject_belongs_to_two_streams() -> None:
    for one, other in itertools.combinations(streams.STREAMS.values(), 2):
        assert not any(streams.overlap(a, b) for a in one.subjects for b in other.subjects)


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("dispatch.campaign.*", "dispatch.journey.*", False),
        ("dispatch.campaign.*", "dispatch.*.shop", True),
        ("changes.>", "changes.segments.shop.segment", True),
        ("a.*", "a.b.c", False),
    ],
)
def test_filters_overlap_when_a_subject_matches_both(one: str, other: str, answer: bool) -> None:
    assert streams.overlap(one, other) is answer
    assert streams.overlap(other, one) is answer
