"""`heliograph check` over SMS: opt-outs that are obeyed leave it green, a door that forgets them turns it red."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import duration_pb2, field_mask_pb2

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, opt_outs_pb2, origination_pb2
from heliograph_messaging.pipeline.opted_out import OptOutCheck
from heliograph_suite.check.laws import judge
from heliograph_suite.check.reading import collect
from tests.messaging.conftest import PARENT, Service, Values
from tests.messaging.numbers import CODE, FREE, TEN, announce, list_of, make_list, make_pool, opt_out, set_number

pytestmark = pytest.mark.integration
ADS, EVERYTHING, NOBODY, BACK = "+13125550001", "+13125550002", "+13125550003", "+13125550004"
PEOPLE = (ADS, EVERYTHING, NOBODY, BACK)


async def send(service: Service, **content: Any) -> None:
    """Send to everybody and wait for the outcome."""
    await service.messages.SendMessages(
        messages_pb2.SendMessagesRequest(
            parent=PARENT,
            channel="SMS",
            content=dispatch_pb2.MessageContent(sms_body="hi", **content),
            recipients=[messages_pb2.Recipient(address=person) for person in PEOPLE],
            wait_for_result=duration_pb2.Duration(seconds=10),
        )
    )


async def everything_is_sent(service: Service) -> None:
    """Send from each kind of sender to people with each kind of opt-out."""
    await send(service, origination_number=TEN)
    await send(service, origination_number=FREE)
    await send(service, origination_number=CODE)
    await send(service, origination_pool=f"{PARENT}/pools/main")
    await send(service)


def verdict(url: str) -> list[tuple[str, str]]:
    evidence = collect(url.replace("+psycopg", "", 1))
    address = {row.message_id: f"{row.origination} to {row.address}" for row in evidence.rows}
    return sorted((found.law, address.get(found.subject, found.subject)) for found in judge(evidence, over=True))


async def test_a_forgotten_opt_out_turns_the_checker_red_and_obeyed_ones_leave_it_green(
    service: Service, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = values["database_url"]
    await service.set_up("SMS")
    await announce(service, TEN, FREE, CODE)
    await make_list(service, "Ads")
    await set_number(service, FREE, opt_out_list=list_of("Ads"))
    await set_number(service, CODE, two_way=True, self_managed_opt_outs=True)
    await make_pool(service, "main", FREE)
    await opt_out(service, ADS, list_id="Ads")
    await opt_out(service, EVERYTHING)
    await opt_out(service, BACK)
    await service.opt_outs.RemoveOptedOutNumber(
        opt_outs_pb2.RemoveOptedOutNumberRequest(name=f"{list_of('Default')}/optedOutNumbers/{BACK}")
    )
    await everything_is_sent(service)
    assert verdict(url) == []

    async def nobody(self: OptOutCheck, conn: Any, passing: Any) -> Mapping[int, Any]:
        return {}

    monkeypatch.setattr(OptOutCheck, "refuse", nobody)
    await everything_is_sent(service)
    expected = [
        ("O4", f"{TEN} to {EVERYTHING}"),
        ("O4", f"{FREE} to {ADS}"),  # named itself
        ("O4", f"{FREE} to {ADS}"),  # as a member of the pool
    ]
    assert verdict(url) == sorted(expected)
    # What the pool is set up for later says nothing about what was sent before.
    await service.numbers.UpdatePool(
        origination_pb2.UpdatePoolRequest(
            pool=origination_pb2.Pool(name=f"{PARENT}/pools/main", opt_out_list=list_of("Default")),
            update_mask=field_mask_pb2.FieldMask(paths=["opt_out_list"]),
        )
    )
    assert verdict(url) == [("O4", f"{TEN} to {EVERYTHING}")]
