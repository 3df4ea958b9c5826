"""How peers fail, by their numbers in the reliability programme (section 4): each has happened to somebody's customers.

P3 (a restored backup sends again) belongs to campaigns. P11 and P12 are held in the kit: `test_reconciler.py` and
`test_consumer.py`.
"""

from __future__ import annotations

import asyncio
import collections
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, dispatch_pb2, messages_pb2
from heliograph.registry10dlc.v1 import events_pb2 as registry_pb2
from heliograph_channels import Accepted, OutgoingMessage, Rejected, RejectReason, SendResult
from heliograph_kit.embedded import free_port
from heliograph_kit.embedded.processes import wait_for_port
from heliograph_kit.streams import changes_subject, dispatch_subject
from heliograph_kit.testing import eventually
from heliograph_messaging import main
from heliograph_messaging.providers import load_catalogue
from tests.chaos.harness import running
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, Values, a_batch
from tests.plugins.smtp_servers import UglyServer, good

S = messages_pb2.MessageStatus
integration, acceptance = pytest.mark.integration, pytest.mark.acceptance


def mails(count: int) -> list[str]:
    return [f"p{index}@example.com" for index in range(count)]


@acceptance
async def test_p1_a_worker_killed_between_taking_and_sending_skips_nobody_at_any_batch() -> None:
    async with running(latency=1.0) as there:
        for batch in range(3):
            there.plan(1, first=batch)
            await there.begun(after=batch)
            there.workers[0].kill()
            await asyncio.to_thread(lambda: there.workers[0].start().ready(60))
            await there.over(within=30)
        assert there.verdict("--over", "--bus", there.nats.url) == []


@integration
async def test_p2_fifty_interruptions_under_provider_errors_neither_restart_nor_skip(start: Started) -> None:
    """The number lets two parts go at a time, so the batch is put down and taken up again some fifty times."""
    service = await start(clock_rate=12.0, clock_origin=datetime.now(UTC))
    await service.set_up("SMS")
    number = registry_pb2.NumberUpdated(
        number="+12065550100", kind="TEN_DLC", state="READY", sms_capable=True, parts_per_second=1, revision=1
    )
    await service.runtime.bus.publish(
        changes_subject("registry10dlc", PROJECT, "number_updated"), number.SerializeToString(), id="n", type="number"
    )

    async def known() -> bool:
        async with service.runtime.database.transaction() as conn:
            return bool((await conn.execute(text("SELECT count(*) FROM messaging.numbers"))).scalar_one())

    await eventually(known)
    tries: collections.Counter[str] = collections.Counter()

    def answer(message: OutgoingMessage) -> SendResult:
        tries[message.address] += 1
        if message.address.endswith("7") and tries[message.address] == 1:
            return Rejected(RejectReason.THROTTLED, retryable=True)
        return Accepted(f"p-{message.message_id}")

    service.scripted.answer = answer
    await service.dispatch(a_batch([f"+1206666{n:04}" for n in range(200)], channel="SMS", text="Hi"))
    assert (await service.done(200, within=90)).accepted_count == 200
    assert len(service.scripted.calls) >= 50
    assert set(tries) == {f"+1206666{n:04}" for n in range(200)}
    assert set(tries.values()) == {1, 2}
    assert sum(tries.values()) == 220


@integration
async def test_p4_eight_workers_with_the_same_batch_send_it_once(start: Started) -> None:
    service = await start(campaign_concurrency=4, project_concurrency=4)
    await start(campaign_concurrency=4, project_concurrency=4)
    await service.set_up("EMAIL")
    batch = a_batch(mails(40))
    await asyncio.gather(
        *(
            service.runtime.bus.publish(
                dispatch_subject("campaign", PROJECT),
                batch.SerializeToString(),
                id=f"{batch.batch_id}#{n}",
                type="batch",
            )
            for n in range(8)
        )
    )
    assert (await service.done(40)).accepted_count == 40

    async def drained() -> bool:
        return not (await service.runtime.bus.jetstream.stream_info("DISPATCH")).state.messages

    await eventually(drained, within=30)
    assert sorted(message.address for message in service.scripted.sent) == sorted(mails(40))


@integration
async def test_p5_one_hostile_recipient_among_five_hundred_fails_alone(service: Service) -> None:
    await service.set_up("EMAIL")
    service.scripted.answer = lambda message: (
        Rejected(RejectReason.INVALID_ADDRESS, retryable=False)
        if message.address == "p250@example.com"
        else Accepted("x")
    )
    await service.dispatch(a_batch(mails(500)))
    status = await service.done(500)
    assert (status.accepted_count, status.failed_count) == (499, 1)
    assert len(service.scripted.sent) == 500


@integration
async def test_p6_users_who_share_an_address_do_not_overwrite_each_other(service: Service) -> None:
    """Of one run the address gets one message, whole and of one user; the others are told why they got none."""
    await service.set_up("EMAIL")
    batch = a_batch(["home@example.com"] * 3, text="Dear {{User.UserAttributes.first}}")
    batch.recipients.columns.add(path="User.UserAttributes.first", values=["Ann", "Bo", "Cy"])
    await service.dispatch(batch)
    status = await service.done(3)
    assert (status.accepted_count, status.skipped_count) == (1, 2)
    [message] = service.scripted.sent
    rows = await service.rows()
    [taken] = [row for row in rows if row.status == S.MESSAGE_STATUS_ACCEPTED]
    assert message.content.text == f"Dear {['Ann', 'Bo', 'Cy'][rows.index(taken)]}"  # type: ignore[union-attr]
    assert {row.reason for row in rows} == {"", "DUPLICATE_ADDRESS"}
    # Direct sends are each their own: nobody's is left out.
    for name in ("Ann", "Bo"):
        direct = a_batch(
            ["home@example.com"],
            run_id=name,
            text=f"Dear {name}",
            message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL,
        )
        await service.dispatch(direct)
        assert (await service.done(1, name)).accepted_count == 1
    assert [m.content.text for m in service.scripted.sent[1:]] == ["Dear Ann", "Dear Bo"]  # type: ignore[union-attr]


@integration
async def test_p7_a_provider_three_times_slower_than_a_lease_is_asked_once(start: Started) -> None:
    service = await start(lease_seconds=3, send_timeout_seconds=60)
    await start(lease_seconds=3, send_timeout_seconds=60)
    await service.set_up("EMAIL")
    service.scripted.hang = True
    await service.dispatch(a_batch(mails(3)))
    await eventually(lambda: service.scripted.calls)
    with pytest.raises(AssertionError):
        await eventually(lambda: len(service.scripted.calls) > 1, within=9)
    service.scripted.release.set()
    assert (await service.done(3)).accepted_count == 3
    assert len(service.scripted.calls) == 1


@integration
async def test_p8_a_hundred_identical_requests_at_once_send_one_message(service: Service) -> None:
    await service.set_up("EMAIL")
    request = messages_pb2.SendMessagesRequest(
        parent=PARENT,
        channel="EMAIL",
        content=dispatch_pb2.MessageContent(email_subject="Code", email_text="1234"),
        recipients=[messages_pb2.Recipient(address="a@example.com")],
        request_id="once",
    )
    answers = await asyncio.gather(*(service.messages.SendMessages(request) for _ in range(100)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert (await service.done(1, answers[0].run_id)).accepted_count == 1
    assert len(service.scripted.sent) == 1


@pytest.fixture
def pooled(values: Values, tmp_path: Path) -> Iterator[Values]:
    """The same settings through pgbouncer in transaction mode: no session belongs to a process for long."""
    if (program := shutil.which("pgbouncer")) is None:
        pytest.skip("pgbouncer is not installed (Debian package pgbouncer)")
    url = urlsplit(str(values["database_url"]).replace("+psycopg", "", 1))
    port = free_port()
    (tmp_path / "users").write_text(f'"{url.username}" "{url.password or ""}"\n')
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={url.hostname} port={url.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {tmp_path / 'users'}\npool_mode = transaction\n"
        "default_pool_size = 6\nmax_client_conn = 200\nunix_socket_dir =\n"
        "ignore_startup_parameters = options,extra_float_digits\n"
    )
    # It refuses to run as root.
    command = [program, "-q", str(config)]
    for path in (tmp_path, *tmp_path.parents):
        if path == Path("/tmp"):
            break
        path.chmod(path.stat().st_mode | 0o011)
    process = subprocess.Popen(command, user="nobody") if os.geteuid() == 0 else subprocess.Popen(command)
    try:
        assert wait_for_port(port, 10, lambda: process.poll() is None)
        yield {
            **values,
            "database_url": str(values["database_url"]).replace(f":{url.port}/", f":{port}/"),
            "database_prepared_statements": False,
            "migrate_on_start": False,
        }
    finally:
        process.terminate()
        process.wait(10)


@integration
async def test_p9_workers_behind_a_pooler_in_transaction_mode_send_everything_once(
    start: Started, pooled: Values
) -> None:
    service = await start(**pooled)
    await start(**pooled)
    await service.set_up("EMAIL")
    for page in range(8):
        await service.dispatch(a_batch([f"p{page}-{n}@example.com" for n in range(50)], page=page))
    assert (await service.done(400, within=60)).accepted_count == 400
    assert len({message.message_id for message in service.scripted.sent}) == len(service.scripted.sent) == 400


@integration
async def test_p10_a_server_that_takes_a_mail_and_drops_the_line_gets_it_once(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "load_catalogue", lambda *_: load_catalogue(["smtp"]))
    service = await start()
    ugly = UglyServer(lambda word, number: None if word == "DOT" else good(word, number))
    async with ugly.running():
        await service.channels.UpdateChannel(
            channels_pb2.UpdateChannelRequest(
                channel=channels_pb2.Channel(
                    name=f"{PARENT}/channels/EMAIL", provider="smtp", from_address="shop@example.com", enabled=True,
                    settings={"host": "127.0.0.1", "port": ugly.port, "security": "none", "from_address": "shop@example.com"},  # type: ignore[arg-type]
                )
            )
        )  # fmt: skip
        await service.dispatch(a_batch(mails(3)))
        status = await service.done(3, within=30)
    assert status.in_doubt_count == 3
    assert [row.status for row in await service.rows()] == [S.MESSAGE_STATUS_IN_DOUBT] * 3
