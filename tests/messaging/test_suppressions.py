"""The suppression list: who enters it, and that nothing is sent to them."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, suppressions_pb2
from heliograph_channels import Receipt, ReceiptKind
from heliograph_kit.ids import derived_ids
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_messaging.service.suppressions import MAX_ADDRESSES
from heliograph_messaging.store.suppressions import SuppressionStore, keyed_hashes, plain_hashes
from tests.messaging.conftest import PARENT, Service, a_batch

pytestmark = pytest.mark.integration
S = messages_pb2.MessageStatus


async def test_a_suppressed_address_gets_nothing_of_any_class(service: Service) -> None:
    await service.set_up("EMAIL")
    stub, parent = service.suppressions, f"{PARENT}/channels/EMAIL"
    asked = suppressions_pb2.AddSuppressionsRequest(
        parent=parent, addresses=["p1@Example.com"], detail="asked by phone"
    )
    assert (await stub.AddSuppressions(asked)).added_count == 1
    assert (await stub.AddSuppressions(asked)).added_count == 0
    for number, message_class in enumerate(
        (dispatch_pb2.MESSAGE_CLASS_CAMPAIGN, dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL)
    ):
        run = f"run{number}"
        await service.dispatch(a_batch(["p0@example.com", "p1@EXAMPLE.com"], run_id=run, message_class=message_class))
        await service.done(2, run)
        assert [(row.status, row.reason) for row in await service.rows(run)] == [
            (S.MESSAGE_STATUS_ACCEPTED, ""),
            (S.MESSAGE_STATUS_SKIPPED, "SUPPRESSED"),
        ]
    removed = await stub.RemoveSuppressions(
        suppressions_pb2.RemoveSuppressionsRequest(parent=parent, addresses=["p1@example.com", "p7@example.com"])
    )
    assert removed.removed_count == 1
    await service.dispatch(a_batch(["p1@example.com"], run_id="after"))
    assert (await service.done(1, "after")).accepted_count == 1


async def test_hard_bounces_and_complaints_enter_the_list_and_soft_bounces_do_not(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch([f"p{n}@example.com" for n in range(4)]))
    await service.done(4)
    ids = [row.name.rpartition("/")[2] for row in await service.rows()]
    now = datetime.now(UTC)
    await service.scripted.report(
        Receipt("r0", ReceiptKind.BOUNCED, now, message_id=ids[0], detail="no such mailbox"),
        Receipt("r1", ReceiptKind.COMPLAINED, now, message_id=ids[1]),
        Receipt("r2", ReceiptKind.BOUNCED, now, message_id=ids[2], permanent=False),
        Receipt("r3", ReceiptKind.OPENED, now, message_id=ids[3]),
    )
    stub, parent = service.suppressions, f"{PARENT}/channels/EMAIL"
    asked = suppressions_pb2.ListSuppressionsRequest(parent=parent, page_size=1)

    async def both() -> bool:
        return (
            len((await stub.ListSuppressions(suppressions_pb2.ListSuppressionsRequest(parent=parent))).suppressions)
            == 2
        )

    await eventually(both)
    seen: list[suppressions_pb2.Suppression] = []
    while True:
        page = await stub.ListSuppressions(asked)
        seen += page.suppressions
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    assert sorted((one.address, one.cause, one.message, one.detail, one.added_by) for one in seen) == [
        ("p0@example.com", 1, f"{PARENT}/messages/{ids[0]}", "no such mailbox", "messaging"),
        ("p1@example.com", 2, f"{PARENT}/messages/{ids[1]}", "", "messaging"),
    ]
    found = await stub.FindSuppressions(
        suppressions_pb2.FindSuppressionsRequest(parent=parent, addresses=["p3@example.com", "p1@example.com"])
    )
    assert [one.address for one in found.suppressions] == ["p1@example.com"]


async def test_an_address_suppressed_between_two_tries_is_not_tried_again(service: Service) -> None:
    """The list is read in the transaction of each intent, not only when the batch was planned (reliability O4)."""
    await service.set_up("EMAIL")
    service.scripted.hang = True
    # Three chunks, two of which may be under way: the third waits for its turn.
    await service.dispatch(a_batch([f"p{n}@example.com" for n in range(30)]))
    await eventually(lambda: len(service.scripted.calls) == 2)
    waiting = {f"p{n}@example.com" for n in range(30)} - {message.address for message in service.scripted.sent}
    await service.suppressions.AddSuppressions(
        suppressions_pb2.AddSuppressionsRequest(parent=f"{PARENT}/channels/EMAIL", addresses=sorted(waiting))
    )
    service.scripted.hang = False
    service.scripted.release.set()
    status = await service.done(30)
    assert (status.accepted_count, status.skipped_count) == (20, 10)
    assert not waiting & {message.address for message in service.scripted.sent}


@pytest.mark.parametrize(
    ("parent", "addresses", "detail", "fields", "reason"),
    [
        ("EMAIL", ["a@x.com", "no address", ""], "", ["addresses[1]", "addresses[2]"], "ADDRESS_INVALID"),
        ("EMAIL", [], "x" * 501, ["addresses", "detail"], "INVALID_ARGUMENT"),
        ("EMAIL", ["a@x.com"] * (MAX_ADDRESSES + 1), "", ["addresses"], "INVALID_ARGUMENT"),
        ("PIGEON", ["a@x.com"], "", ["parent"], "INVALID_ARGUMENT"),
    ],
)
async def test_bad_suppressions_are_refused_with_every_violation(
    service: Service, parent: str, addresses: list[str], detail: str, fields: list[str], reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.suppressions.AddSuppressions(
            suppressions_pb2.AddSuppressionsRequest(
                parent=f"{PARENT}/channels/{parent}", addresses=addresses, detail=detail
            )
        )
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [field for field, _ in violations_of(caught.value)] == fields


async def test_the_most_addresses_fit_into_one_call(service: Service) -> None:
    answer = await service.suppressions.AddSuppressions(
        suppressions_pb2.AddSuppressionsRequest(
            parent=f"{PARENT}/channels/EMAIL",
            addresses=[f"p{n}@example.com" for n in range(MAX_ADDRESSES)],
            detail="x" * 500,
        )
    )
    assert answer.added_count == MAX_ADDRESSES


_BEFORE = text(
    """INSERT INTO messaging.suppressions (project, channel, address_hash, address, cause, detail, added_by, create_time)
    SELECT 'shop', 'EMAIL', hash::uuid, address, 'COMPLAINT', '', 'messaging', now()
    FROM unnest(CAST(:hashes AS text[]), CAST(:addresses AS text[])) AS x (hash, address)"""
)


async def entries(service: Service) -> dict[str, tuple[str, bool]]:
    async with service.runtime.database.transaction() as conn:
        query = text("SELECT address, address_hash::text AS hash, keyed FROM messaging.suppressions")
        return {row.address: (row.hash.replace("-", ""), row.keyed) for row in await conn.execute(query)}


async def test_entries_of_before_there_was_a_key_go_on_being_obeyed(service: Service) -> None:
    await service.set_up("EMAIL")
    stub, parent = service.suppressions, f"{PARENT}/channels/EMAIL"
    # By their own words, as code of before wrote them.
    addresses = ["p0@example.com", "p1@example.com", "p2@example.com", "p3@example.com"]
    hashes = derived_ids(("suppression", "shop", "EMAIL"), addresses)
    async with service.runtime.database.transaction() as conn:
        await conn.execute(_BEFORE, {"hashes": hashes[:3], "addresses": addresses[:3]})
    add = suppressions_pb2.AddSuppressionsRequest(parent=parent, addresses=["p0@EXAMPLE.com", "p3@example.com"])
    assert (await stub.AddSuppressions(add)).added_count == 1
    remove = suppressions_pb2.RemoveSuppressionsRequest(parent=parent, addresses=["p2@example.com"])
    assert (await stub.RemoveSuppressions(remove)).removed_count == 1

    async def sent(run: str) -> list[str]:
        await service.dispatch(a_batch(addresses, run_id=run))
        await service.done(4, run)
        return [row.address for row in await service.rows(run) if row.reason != "SUPPRESSED"]

    assert await sent("before") == ["p2@example.com"]
    # Code of before that still ran wrote one of them again.
    async with service.runtime.database.transaction() as conn:
        await conn.execute(_BEFORE, {"hashes": hashes[3:], "addresses": addresses[3:]})
    store = SuppressionStore()
    for left in (2, 1, 0):
        async with service.runtime.database.transaction() as conn:
            assert await store.rekey(conn, 2) == left
    found = await entries(service)
    assert {address: keyed for address, (_, keyed) in found.items()} == dict.fromkeys(
        ["p0@example.com", "p1@example.com", "p3@example.com"], True
    )
    assert not {hash for hash, _ in found.values()} & set(hashes)
    assert await sent("after") == ["p2@example.com"]
    listed = await stub.ListSuppressions(suppressions_pb2.ListSuppressionsRequest(parent=parent))
    assert {one.address: one.cause for one in listed.suppressions} == {
        "p0@example.com": suppressions_pb2.SUPPRESSION_CAUSE_COMPLAINT,
        "p1@example.com": suppressions_pb2.SUPPRESSION_CAUSE_COMPLAINT,
        "p3@example.com": suppressions_pb2.SUPPRESSION_CAUSE_MANUAL,
    }


async def test_who_does_not_have_the_key_cannot_find_an_address_that_he_guesses(service: Service) -> None:
    stub, parent = service.suppressions, f"{PARENT}/channels/EMAIL"
    await stub.AddSuppressions(suppressions_pb2.AddSuppressionsRequest(parent=parent, addresses=["p0@example.com"]))
    hash, keyed = (await entries(service))["p0@example.com"]
    assert keyed
    assert hash not in plain_hashes("shop", "EMAIL", ["p0@example.com"])
    async with service.runtime.database.transaction() as conn:
        key = bytes((await conn.execute(text("SELECT key FROM messaging.suppression_keys"))).scalar_one())
    assert len(key) == 32
    assert keyed_hashes(key, "shop", "EMAIL", ["p0@EXAMPLE.com"]) == [hash]
    others = (
        keyed_hashes(key, "other", "EMAIL", ["p0@example.com"]),
        keyed_hashes(key, "shop", "SMS", ["p0@example.com"]),
    )
    assert [hash] not in others
