"""Reading the bounce mailbox: over IMAP from a real server (pymap), and from a maildir."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from heliograph_channel_smtp import SmtpChannel, listener
from heliograph_channels import Receipt, ReceiptKind, Sender
from heliograph_channels.testing import RecordingContext
from tests.plugins import imap_server
from tests.plugins.imap_server import PASSWORD, USER, ImapServer
from tests.plugins.smtp_servers import UglyServer, good

FOLDER = Path(__file__).with_name("bounces")
HARD, SOFT, NOTE = (FOLDER / f"{name}.eml" for name in ("qmail", "postfix-mailbox-full", "absence-note"))
OUR_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[ImapServer]:
    with imap_server.running(certificate) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_FIRST_PAUSE", 0.05)


def bounce(number: int) -> bytes:
    """One of many bounces, each about another message."""
    return HARD.read_bytes().replace(OUR_ID.encode(), f"{number:032x}".encode())


def imap_settings(server: ImapServer, **changes: object) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "security": "none",
        "allow_insecure_login": True,
        "from_address": "news@example.com",
        "ca_file": str(server.certificate),
        "bounce_imap_host": "127.0.0.1",
        "bounce_imap_port": server.port,
        "bounce_imap_security": server.security,
        "bounce_imap_username": USER,
        "bounce_imap_password": PASSWORD,
        **changes,
    }


def maildir_settings(path: Path, **changes: object) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "security": "none",
        "from_address": "news@example.com",
        "bounce_maildir": str(path),
        "bounce_poll_seconds": 0.02,
        **changes,
    }


@asynccontextmanager
async def reading(settings: dict[str, object], recording: RecordingContext) -> AsyncIterator[Sender]:
    channel = SmtpChannel()
    assert list(channel.check_settings(settings)) == []
    able = channel.capabilities_for(settings)
    assert able.listens
    assert able.receipts
    sender = await channel.open(settings, recording.context)
    try:
        yield sender
    finally:
        await sender.close()


async def until(server: ImapServer, expected: list[set[str]], folder: str = "INBOX") -> None:
    """Wait until the mailbox's flags are as expected: mails are put away after their receipts are stored."""
    async with asyncio.timeout(20):
        while (flags := await asyncio.to_thread(server.flags, folder)) != expected:
            assert len(flags) >= len(expected), flags
            await asyncio.sleep(0.02)


# IMAP


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
async def test_bounces_that_are_there_and_those_that_come_are_told(
    certificate: tuple[Path, Path], security: str
) -> None:
    with imap_server.running(certificate, security=security) as server:
        server.put(bounce(1), NOTE.read_bytes())
        recording = RecordingContext()
        # Without IDLE the second would come after ten minutes.
        async with reading(imap_settings(server, bounce_poll_seconds=600), recording):
            await recording.wait_for(lambda receipts: len(receipts) == 1)
            await until(server, [{"\\Seen"}, {"\\Seen"}])
            await asyncio.to_thread(server.put, bounce(2))
            await recording.wait_for(lambda receipts: len(receipts) == 2)
            await until(server, [{"\\Seen"}] * 3)
    assert [receipt.message_id for receipt in recording.receipts] == [f"{1:032x}", f"{2:032x}"]
    assert all(receipt.kind is ReceiptKind.BOUNCED for receipt in recording.receipts)


async def test_a_server_without_idle_is_asked_again_and_again(certificate: tuple[Path, Path]) -> None:
    with imap_server.running(certificate, idle=False) as server:
        recording = RecordingContext()
        async with reading(imap_settings(server, bounce_poll_seconds=0.05), recording):
            await asyncio.to_thread(server.put, bounce(1))
            await recording.wait_for(lambda receipts: len(receipts) == 1)
            await until(server, [{"\\Seen"}])


async def test_with_removal_bounces_are_deleted_and_what_people_write_is_kept(server: ImapServer) -> None:
    server.put(bounce(1), NOTE.read_bytes(), bounce(2))
    recording = RecordingContext()
    async with reading(imap_settings(server, bounce_remove=True), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 2)
        await until(server, [{"\\Seen"}])
    with server.client() as client:
        client.select("INBOX", readonly=True)
        _, found = client.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert b"Automatic reply" in bytes(found[0][1])  # type: ignore[index]


async def test_nothing_is_marked_before_it_is_stored(server: ImapServer) -> None:
    """Reports fail three times: the mail stays unread, and is told again each time."""
    seen_during_report: list[list[set[str]]] = []
    recording = RecordingContext(failures=3)

    async def report(receipts: Sequence[Receipt]) -> None:
        seen_during_report.append(await asyncio.to_thread(server.flags))
        await recording.context.report(receipts)

    server.put(bounce(1))
    sender = await SmtpChannel().open(imap_settings(server), replace(recording.context, report=report))
    try:
        await recording.wait_for(lambda receipts: len(receipts) == 1)
        await until(server, [{"\\Seen"}])
    finally:
        await sender.close()
    assert seen_during_report == [[set()]] * 4


async def test_after_a_crash_between_storing_and_marking_the_same_receipt_is_told_again(server: ImapServer) -> None:
    told: list[Receipt] = []
    stored = asyncio.Event()

    async def report(receipts: Sequence[Receipt]) -> None:
        told.extend(receipts)
        stored.set()
        await asyncio.Event().wait()  # the process ends here

    server.put(bounce(1))
    first = await SmtpChannel().open(imap_settings(server), replace(RecordingContext().context, report=report))
    async with asyncio.timeout(20):
        await stored.wait()
    await first.close()
    assert server.flags() == [set()]
    recording = RecordingContext()
    async with reading(imap_settings(server), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 1)
    assert recording.receipts == told


async def test_two_readers_of_one_mailbox_tell_the_same(server: ImapServer) -> None:
    server.put(*(bounce(number) for number in range(12)))
    one, two = RecordingContext(), RecordingContext()
    async with reading(imap_settings(server), one), reading(imap_settings(server), two):
        async with asyncio.timeout(20):
            while len({receipt.receipt_id for receipt in (*one.receipts, *two.receipts)}) < 12:
                await asyncio.sleep(0.02)
        await until(server, [{"\\Seen"}] * 12)
    ids = {receipt.message_id for receipt in (*one.receipts, *two.receipts)}
    assert ids == {f"{number:032x}" for number in range(12)}


async def test_many_bounces_come_in_pages(server: ImapServer) -> None:
    server.put(*(bounce(number) for number in range(60)))
    recording = RecordingContext()
    async with reading(imap_settings(server), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 60)
        assert recording.reports == [50, 10]
        await until(server, [{"\\Seen"}] * 60)


async def test_a_bounce_that_returns_a_large_message_is_read_by_its_start(server: ImapServer) -> None:
    server.put(bounce(1) + b"y" * 70 + b"\r\n" * 500_000)
    recording = RecordingContext()
    async with reading(imap_settings(server), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 1)
        await until(server, [{"\\Seen"}])


async def test_another_folder_may_have_any_name(server: ImapServer) -> None:
    name = "R\u00fcck & l\u00e4ufer/\u65e5\u672c"
    server.create("R&APw-ck &- l&AOQ-ufer/&ZeVnLA-")
    server.put(bounce(1), folder="R&APw-ck &- l&AOQ-ufer/&ZeVnLA-")
    recording = RecordingContext()
    async with reading(imap_settings(server, bounce_imap_folder=name), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 1)


async def until_unhealthy(sender: Sender) -> str:
    async with asyncio.timeout(20):
        while "mailbox cannot be read" not in (health := await sender.health()).detail:
            await asyncio.sleep(0.02)
    assert health.ok  # messages go out all the same
    return health.detail


async def test_a_wrong_password_shows_in_health_and_nowhere_else(
    server: ImapServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with UglyServer(good).running() as smtp:
        settings = imap_settings(server, port=smtp.port, bounce_imap_password="hunter2-is-wrong")
        async with reading(settings, RecordingContext()) as sender:
            detail = await until_unhealthy(sender)
    assert "the login is not accepted (AUTHENTICATIONFAILED)" in detail
    assert "hunter2" not in caplog.text + detail + repr(sender) + repr(sender.__dict__)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bounce_imap_folder": "No such"}, "NONEXISTENT"),
        ({"bounce_imap_security": "starttls"}, "did not answer"),
        ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"bounce_imap_port": 1}, "no connection"),
    ],
    ids=["folder", "another kind of encryption", "certificate", "nobody there"],
)
async def test_a_mailbox_that_cannot_be_read_says_why(
    server: ImapServer, changes: dict[str, object], words: str
) -> None:
    async with UglyServer(good).running() as smtp:
        settings = imap_settings(server, port=smtp.port, command_timeout=1, **changes)
        if settings["ca_file"] is None:
            del settings["ca_file"]
        async with reading(settings, RecordingContext()) as sender:
            assert words in await until_unhealthy(sender)


async def test_no_password_goes_to_a_server_that_does_not_encrypt(certificate: tuple[Path, Path]) -> None:
    said: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n")
        while line := await reader.readline():
            said.append(line)
            tag = line.split()[0]
            writer.write(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + tag + b" OK done\r\n")
        writer.close()

    plain = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with UglyServer(good).running() as smtp:
        server = ImapServer(port, "starttls", certificate[0])
        async with reading(imap_settings(server, port=smtp.port), RecordingContext()) as sender:
            assert "does not offer STARTTLS" in await until_unhealthy(sender)
    plain.close()
    await plain.wait_closed()
    assert {line.split()[1] for line in said} <= {b"CAPABILITY"}


async def test_a_server_that_comes_back_is_read_again(certificate: tuple[Path, Path]) -> None:
    recording = RecordingContext()
    async with UglyServer(good).running() as smtp:
        with imap_server.running(certificate) as server:
            sender = await SmtpChannel().open(imap_settings(server, port=smtp.port), recording.context)
            await asyncio.to_thread(server.put, bounce(1))
            await recording.wait_for(lambda receipts: len(receipts) == 1)
        await until_unhealthy(sender)
        with imap_server.running(certificate, port=server.port) as server:
            await asyncio.to_thread(server.put, bounce(2))
            await recording.wait_for(lambda receipts: len(receipts) == 2)
            async with asyncio.timeout(20):
                while "mailbox" in (await sender.health()).detail:
                    await asyncio.sleep(0.02)
            await sender.close()


NONSENSE = {
    "no greeting": b"hello\r\n",
    "an endless line": b"* OK " + b"x" * 2_000_000,
    "a huge literal": b"* OK hi\r\n* CAPABILITY {999999999}\r\n",
    "nothing": b"",
    "BYE": b"* BYE not today\r\n",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_a_server_that_speaks_nonsense_is_left_alone(certificate: tuple[Path, Path], answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read(1)
        writer.close()

    odd = await asyncio.start_server(speak, "127.0.0.1", 0)
    server = ImapServer(odd.sockets[0].getsockname()[1], "none", certificate[0])
    async with (
        UglyServer(good).running() as smtp,
        reading(imap_settings(server, port=smtp.port, command_timeout=0.5), RecordingContext()) as sender,
    ):
        await until_unhealthy(sender)
    odd.close()
    await odd.wait_closed()


async def test_a_server_that_wakes_us_for_nothing_does_not_keep_us_busy(certificate: tuple[Path, Path]) -> None:
    said: list[bytes] = []

    async def nervous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := await reader.readline():
            tag, *words = line.split()
            said.append(words[0] if words else tag)
            if said[-1] == b"IDLE":
                writer.write(b"+ idling\r\n* 1 EXISTS\r\n")
                await reader.readline()
            capabilities = b"* CAPABILITY IMAP4rev1 IDLE\r\n" if said[-1] == b"CAPABILITY" else b""
            writer.write(capabilities + tag + b" OK done\r\n")
        writer.close()

    odd = await asyncio.start_server(nervous, "127.0.0.1", 0)
    server = ImapServer(odd.sockets[0].getsockname()[1], "none", certificate[0])
    async with reading(imap_settings(server, bounce_poll_seconds=600), RecordingContext()):
        async with asyncio.timeout(20):
            while said.count(b"IDLE") < 3:
                await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        began, before = loop.time(), said.count(b"IDLE")
        async with asyncio.timeout(20):
            while said.count(b"IDLE") < before + 2:
                await asyncio.sleep(0.01)
        assert loop.time() - began >= 0.5
    odd.close()
    await odd.wait_closed()


# A maildir


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "box" / name).mkdir(parents=True)
    return tmp_path / "box"


def deliver(maildir: Path, name: str, octets: bytes) -> None:
    """Deliver as every server does: write beside, then move."""
    (maildir / "tmp" / name).write_bytes(octets)
    (maildir / "tmp" / name).rename(maildir / "new" / name)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def until_empty(folder: Path, left: int = 0) -> None:
    async with asyncio.timeout(20):
        while len(files_in(folder)) > left:
            await asyncio.sleep(0.02)


async def test_a_maildir_is_read_and_its_mails_are_moved_as_seen(maildir: Path) -> None:
    deliver(maildir, "1772000000.M1P1.host", bounce(1))
    deliver(maildir, "1772000001.M1P1.host,S=12", NOTE.read_bytes())
    recording = RecordingContext()
    async with reading(maildir_settings(maildir), recording):
        await until_empty(maildir / "new")
        deliver(maildir, "1772000002.M1P1.host", SOFT.read_bytes())
        await recording.wait_for(lambda receipts: len(receipts) == 2)
        await until_empty(maildir / "new")
    assert [receipt.permanent for receipt in recording.receipts] == [True, False]
    assert files_in(maildir / "cur") == [
        "1772000000.M1P1.host:2,S",
        "1772000001.M1P1.host,S=12:2,S",
        "1772000002.M1P1.host:2,S",
    ]


async def test_with_removal_only_what_people_write_stays_in_the_maildir(maildir: Path) -> None:
    deliver(maildir, "1", bounce(1))
    deliver(maildir, "2", NOTE.read_bytes())
    async with reading(maildir_settings(maildir, bounce_remove=True), RecordingContext()):
        await until_empty(maildir / "new")
    assert files_in(maildir / "cur") == ["2:2,S"]


async def test_mails_stay_in_the_maildir_until_they_are_stored(maildir: Path) -> None:
    for number in range(120):
        deliver(maildir, f"{number:04}", bounce(number))
    recording = RecordingContext(failures=2)
    async with reading(maildir_settings(maildir), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 120)
        await until_empty(maildir / "new")
    assert recording.reports == [50, 50, 20]


async def test_what_is_no_mail_is_passed_over(maildir: Path) -> None:
    (maildir / "new" / "folder").mkdir()
    (maildir / "new" / ".hidden").write_bytes(bounce(7))
    (maildir / "new" / "link").symlink_to("/etc/hostname")
    os.mkfifo(maildir / "new" / "pipe")
    deliver(maildir, "zz", bounce(1))
    recording = RecordingContext()
    async with reading(maildir_settings(maildir), recording):
        await recording.wait_for(lambda receipts: len(receipts) == 1)
        await until_empty(maildir / "new", left=4)
    assert recording.receipts[0].message_id == f"{1:032x}"


async def test_two_readers_of_one_maildir_do_no_harm(maildir: Path) -> None:
    for number in range(200):
        deliver(maildir, f"{number:04}", bounce(number))
    one, two = RecordingContext(), RecordingContext()
    settings = maildir_settings(maildir, bounce_remove=True)
    async with reading(settings, one), reading(settings, two):
        await until_empty(maildir / "new")
    ids = {receipt.message_id for receipt in (*one.receipts, *two.receipts)}
    assert ids == {f"{number:032x}" for number in range(200)}


async def test_a_maildir_that_is_not_there_shows_in_health_and_is_waited_for(maildir: Path) -> None:
    recording = RecordingContext()
    later = maildir.with_name("later")
    appear = partial(maildir.rename, later)
    deliver(maildir, "1", bounce(1))
    async with (
        UglyServer(good).running() as smtp,
        reading(maildir_settings(later, port=smtp.port), recording) as sender,
    ):
        assert "no folder new" in await until_unhealthy(sender)
        appear()
        await recording.wait_for(lambda receipts: len(receipts) == 1)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"bounce_imap_host": "h"}, {"bounce_imap_username", "bounce_imap_password"}),
        (
            {"bounce_imap_host": "h", "bounce_imap_username": "u", "bounce_imap_password": "p", "bounce_maildir": "/x"},
            {"bounce_maildir"},
        ),
        (
            {"bounce_imap_host": "h", "bounce_imap_username": "u", "bounce_imap_password": "p", "bounce_imap_security": "none"},
            {"bounce_imap_security"},
        ),
        ({"bounce_maildir": "relative/path"}, {"bounce_maildir"}),
        ({"bounce_imap_folder": "INBOX\r\nA1 DELETE INBOX"}, {"bounce_imap_folder"}),
        ({"bounce_imap_folder": "INBOX\n"}, {"bounce_imap_folder"}),
        ({"verp_delimiter": "+"}, {"envelope_from"}),
        ({"verp_delimiter": "+", "envelope_from": "b" * 40 + "@example.com"}, {"envelope_from"}),
        ({"verp_delimiter": "*"}, {"verp_delimiter", "envelope_from"}),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else str(value)[:50],
)  # fmt: skip
def test_settings_of_the_mailbox_belong_together(changes: dict[str, object], fields: set[str]) -> None:
    settings = {"host": "h", "from_address": "a@example.com", **changes}
    assert {problem.field for problem in SmtpChannel().check_settings(settings)} == fields


def test_without_a_mailbox_no_receipts_are_promised() -> None:
    able = SmtpChannel().capabilities_for({"host": "h", "from_address": "a@example.com"})
    assert not able.receipts
    assert not able.listens
