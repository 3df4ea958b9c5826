"""Values of template variables out of the columns of a batch: as texts and as lists, in their order of precedence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from heliograph.messaging.v1 import dispatch_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_messaging.domain.paths import Variable
from heliograph_messaging.pipeline.page import Values, recipients_of

pytestmark = pytest.mark.unit

PAGE = audience_pb2.MemberPage(
    endpoint_ids=["e0", "e1", "e2"],
    user_ids=["u0", "", "u2"],
    channels=["EMAIL"] * 3,
    addresses=["a@x.com", "b@x.com", "c@x.com"],
    columns=[
        audience_pb2.MemberColumn(path="Attributes.c", values=["red", "blue", "green"], counts=[2, 0, 1]),
        audience_pb2.MemberColumn(path="Attributes.one", values=["x", "y", "z"]),
        audience_pb2.MemberColumn(path="User.UserId", values=["own"], counts=[0, 0, 1]),
    ],
)
BATCH = dispatch_pb2.DispatchBatch(recipients=PAGE, substitutions={"Code": "7", "Attributes.one": "no"})
VALUES = Values(BATCH, recipients_of(PAGE), {"Attributes.c": "none", "Code": "8", "Day": "Monday"})


@pytest.mark.parametrize(
    ("path", "index", "texts", "lists"),
    [
        ("Attributes.c", None, ["red, blue", "none", "green"], [["red", "blue"], ("none",), ["green"]]),
        ("Attributes.c", 1, ["blue", "none", "none"], None),
        ("Attributes.one", None, ["x", "y", "z"], [("x",), ("y",), ("z",)]),
        ("Code", None, ["7"] * 3, [("7",)] * 3),
        ("Day", None, ["Monday"] * 3, [("Monday",)] * 3),
        ("gone", None, [None] * 3, [()] * 3),
        ("Id", None, ["e0", "e1", "e2"], [("e0",), ("e1",), ("e2",)]),
        ("User.UserId", None, ["u0", None, "own"], [("u0",), (), ["own"]]),
    ],
)
def test_values_come_from_columns_then_the_page_then_substitutions_then_defaults(
    path: str, index: int | None, texts: list[str | None], lists: list[Sequence[str]] | None
) -> None:
    assert VALUES.column(Variable(path, index)) == texts
    if lists is not None:
        assert VALUES.column(Variable(path, many=True)) == lists
