"""What mails in a bounce mailbox say: one file per kind of bounce, and mail that is hostile."""

from __future__ import annotations

import base64
import datetime as dt
import random
from pathlib import Path

import pytest

from heliograph_channel_smtp.bounces import read_bounce
from heliograph_channel_smtp.envelopes import Verp
from heliograph_channel_smtp.statuses import is_permanent, status_in
from heliograph_channels import Receipt, ReceiptKind

FOLDER = Path(__file__).with_name("bounces")
OUR_ID = "0123456789abcdef0123456789abcdef"
NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
VERP = Verp("bounces@example.com", "+")
HARD, SOFT = (ReceiptKind.BOUNCED, True), (ReceiptKind.BOUNCED, False)

EXPECTED: dict[str, list[tuple[ReceiptKind, bool, str]]] = {
    "postfix-unknown-user": [
        (*HARD, "5.1.1 smtp; 550 5.1.1 <ann@receiver.example>: Recipient address rejected: User unknown in virtual mailbox table")
    ],
    "postfix-mailbox-full": [(*SOFT, "5.2.2 smtp; 552 5.2.2 mailbox full")],
    "postfix-host-not-found": [
        (*HARD, "5.4.4 X-Postfix; Host or domain name not found. Name service error for name=receiver.example type=AAAA: Host not found")
    ],
    "postfix-expired": [(*SOFT, "4.4.1 X-Postfix; connect to mx.receiver.example[192.0.2.1]:25: Connection timed out")],
    "postfix-delayed": [],
    "postfix-blocked": [
        (*HARD, "5.7.1 smtp; 554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.example.org")
    ],
    "postfix-delivered": [(ReceiptKind.DELIVERED, True, "2.1.5 smtp; 250 2.1.5 Ok")],
    "postfix-relayed": [],
    "envelope-id-only": [(*HARD, "5.1.1 smtp; 550 no")],
    "message-id-only": [(*HARD, "5.1.1 smtp; 550 5.1.1 unknown")],
    "not-ours": [],
    "status-zero": [(*HARD, "5.2.1 smtp; 550 5.2.1 account is disabled")],
    "no-status": [
        (*HARD, "5.1.1 smtp; 550-Requested action not taken: mailbox unavailable 550 For explanation visit")
    ],
    "dkim-refused": [(*SOFT, "5.7.20 smtp; 550 5.7.20 No passing DKIM signature found")],
    "gmail": [
        (
            *HARD,
            (
                "5.1.1 smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 "
                "double-checking the recipient's email address for typos or 550 5.1.1 unnecessary spaces."
            ),
        )
    ],
    "exchange": [
        (*HARD, "5.1.10 smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup")
    ],
    "two-recipients": [(*HARD, "5.1.1 smtp; 550 5.1.1 unknown"), (*SOFT, "4.4.7 smtp; 451 4.4.7 message expired")],
    "exim": [(*HARD, "5.1.1 550 Requested action not taken: mailbox unavailable")],
    "exim-unrouteable": [(*HARD, "5.1.1 Unrouteable address")],
    "qmail": [(*HARD, "5.1.1 Sorry, no mailbox here by that name. (#5.1.1)")],
    "quota-in-words": [(*SOFT, "5.2.2 The message to ann@receiver.example was not delivered: the user is over quota.")],
    "verp": [(*HARD, "5.7.1 Your mail was refused: 550 5.7.1 we do not like it. Nothing of it is returned.")],
    "arf-abuse": [(ReceiptKind.COMPLAINED, True, "abuse, told by SomeGenerator/1.0")],
    "arf-fraud": [(ReceiptKind.COMPLAINED, True, "fraud, told by SomeGenerator/1.0")],
    "arf-opt-out": [(ReceiptKind.OPTED_OUT, True, "opt-out, told by SomeGenerator/1.0")],
    "arf-not-spam": [],
    "arf-auth-failure": [],
    "arf-redacted": [],
    "absence-note": [],
    "answer-of-a-person": [],
}  # fmt: skip


def octets(name: str) -> bytes:
    return (FOLDER / f"{name}.eml").read_bytes()


def read(raw: bytes, verp: Verp | None = VERP) -> list[Receipt]:
    return read_bounce(raw, verp=verp, now=NOW)


def said(receipts: list[Receipt]) -> list[tuple[ReceiptKind, bool, str]]:
    return [(receipt.kind, receipt.permanent, receipt.detail) for receipt in receipts]


def test_every_file_is_expected_to_say_something_or_nothing() -> None:
    assert {path.stem for path in FOLDER.glob("*.eml")} == set(EXPECTED)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", EXPECTED)
def test_each_mail_says_what_became_of_the_message(name: str, ends: bytes) -> None:
    receipts = read(octets(name).replace(b"\n", ends))
    assert said(receipts) == EXPECTED[name]
    for receipt in receipts:
        assert receipt.message_id == OUR_ID
        assert receipt.receipt_id.startswith("mail-")
        assert dt.datetime(2026, 3, 1, tzinfo=dt.UTC) <= receipt.time <= NOW


def test_the_same_occurrence_has_one_receipt_id_however_it_is_told() -> None:
    first, again = read(octets("postfix-unknown-user")), read(octets("postfix-unknown-user"))
    assert first == again
    later = read(octets("postfix-unknown-user").replace(b"12:00:07", b"13:00:07").replace(b"20260301120007", b"x"))
    assert later[0].receipt_id == first[0].receipt_id
    # Servers tell here in their own words that ann@ does not exist: for one message that is one bounce.
    alike = {
        read(octets(name))[0].receipt_id for name in ("gmail", "exchange", "postfix-unknown-user", "message-id-only")
    }
    assert len(alike) == 2  # Exchange says 5.1.10
    assert read(octets("arf-abuse"))[0].receipt_id not in alike
    two = read(octets("two-recipients"))
    assert two[0].receipt_id != two[1].receipt_id


def test_the_time_is_when_it_happened_and_never_in_the_future() -> None:
    (gmail,) = read(octets("gmail"))
    assert gmail.time == dt.datetime(2026, 3, 1, 12, 0, 10, tzinfo=dt.UTC)
    (arf,) = read(octets("arf-abuse"))
    assert arf.time == dt.datetime(2026, 3, 1, 12, 10, tzinfo=dt.UTC)
    (future,) = read(octets("qmail").replace(b"1 Mar 2026", b"1 Mar 2036"))
    assert future.time == NOW
    (odd,) = read(octets("qmail").replace(b"1 Mar 2026 12:00:06 -0000", b"99 Foo 1e9"))
    assert odd.time == NOW


def test_the_address_a_bounce_came_to_names_the_message_if_it_is_ours() -> None:
    other = octets("verp").replace(b"example.com", b"other.example").replace(b"Example.com", b"other.example")
    assert read(octets("verp"), None) == []
    assert read(other) == []
    assert VERP.envelope(OUR_ID) == f"<bounces+{OUR_ID}@example.com>".encode()


@pytest.mark.parametrize(
    ("address", "delimiter", "good"),
    [
        ("bounces@example.com", "+", True),
        ("b" * 31 + "@example.com", "+", True),
        ("b" * 32 + "@example.com", "+", False),
        ("", "+", False),
        ("bounces", "-", False),
    ],
)
def test_a_return_path_must_leave_room_for_the_id(address: str, delimiter: str, good: bool) -> None:
    assert (Verp.problem(address, delimiter) is None) is good


def encoded(name: str, kind: bytes) -> bytes:
    """Send the report part as base64."""
    head, mark, rest = octets(name).partition(b"Content-Type: " + kind + b"\n\n")
    report, boundary, tail = rest.partition(b"\n--=_boundary_7")
    return head + mark[:-1] + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(report) + boundary + tail


def test_reports_may_be_encoded_or_of_the_international_kind() -> None:
    plain = said(read(octets("postfix-unknown-user")))
    assert said(read(encoded("postfix-unknown-user", b"message/delivery-status"))) == plain
    world = octets("postfix-unknown-user").replace(b"message/delivery-status", b"message/global-delivery-status")
    assert said(read(world)) == plain
    assert said(read(encoded("arf-abuse", b"message/feedback-report"))) == EXPECTED["arf-abuse"]


HOSTILE = {
    "empty": b"",
    "octets": bytes(range(256)) * 100,
    "deep": b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3000)),
    "nested messages": b"Content-Type: message/rfc822\n\n" * 5000,
    "long header": b"Subject: " + b"=?utf-8?q?x?= " * 10_000,
    "many headers": b"X: y\n" * 50_000,
    "unknown charset": b"From: =?no-such?q?x?= <mailer-daemon@x>\nContent-Type: text/plain; charset=no-such\n\n550 5.1.1\n",
    "broken base64": b"Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n@@@@\n",
    "report without parts": b"Content-Type: multipart/report; report-type=delivery-status\n\nx\n",
    "status that is text": b"Content-Type: message/delivery-status\n\nno fields at all\n\nAction: failed\n",
    "many groups": b"Content-Type: message/delivery-status\n\nx: y\n" + b"\nAction: failed\nStatus: 5.1.1\n" * 5000,
    "no-break blanks": "From: MAILER-DAEMON@x\nX-Failed-Recipients: \x00\u2028\n\nX-Heliograph-Message-Id: ".encode() + b"z" * 32,
}  # fmt: skip


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_mail_says_nothing_and_raises_nothing(raw: bytes) -> None:
    assert read(raw[: 256 * 1024]) == []


def test_mail_cut_off_or_damaged_anywhere_raises_nothing() -> None:
    rng = random.Random(5)
    for name in EXPECTED:
        raw = octets(name)
        for _ in range(20):
            receipts = read(raw[: rng.randrange(len(raw))])
            at = rng.randrange(len(raw))
            receipts += read(raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :])
            assert all(receipt.receipt_id and len(receipt.detail) <= 500 for receipt in receipts)


def test_many_groups_of_our_message_are_not_believed_without_end() -> None:
    raw = octets("postfix-unknown-user").replace(
        b"Diagnostic-Code", b"X: y\n" + b"\nAction: failed\nStatus: 5.1.1\n" * 500 + b"\nDiagnostic-Code"
    )
    assert 1 <= len(read(raw)) <= 20


def test_what_is_shown_holds_no_control_characters() -> None:
    raw = octets("postfix-mailbox-full").replace(b"552 5.2.2 mailbox full", b"552 5.2.2 mail\x00box\x1b[31m \xff full")
    ((_, _, detail),) = said(read(raw))
    assert detail.isprintable()
    assert "5.2.2 smtp; 552 5.2.2 mail box [31m" in detail


@pytest.mark.parametrize(
    ("status", "hard"),
    [
        ("5.1.1", True), ("5.1.2", True), ("5.1.10", True), ("5.2.1", True), ("5.4.4", True), ("5.4.1", True), ("5.7.1", True), ("5.0.0", True),
        ("5.2.2", False), ("5.2.3", False), ("5.3.2", False), ("5.3.4", False), ("5.4.6", False), ("5.4.7", False),
        ("5.6.0", False), ("5.7.10", False), ("5.7.20", False), ("5.7.26", False), ("5.7.28", False), ("4.1.1", False), ("4.4.1", False), ("4.4.7", False),
        ("2.0.0", False), ("", False),
    ],
)  # fmt: skip
def test_only_what_lies_with_the_address_is_a_hard_bounce(status: str, hard: bool) -> None:
    assert is_permanent(status) is hard


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("smtp; 550 5.1.1 no", "5.1.1"),
        ("smtp;550 no such user", "5.1.1"),
        ("(#5.1.1)", "5.1.1"),
        ("550-5.7.26 unauthenticated", "5.7.26"),
        ("host mx.example said: 452 too many", "4.2.2"),
        ("421 try later", "4.3.2"),
        ("552 too large", "5.2.2"),
        ("591 strange", "5.0.0"),
        ("version 15.1.1", ""),
        ("192.5.1.1", ""),
        ("5.1.1.1", ""),
        ("on 5.12.2026 I am away", ""),
        ("room 550", ""),
        ("mailbox is full", ""),
    ],
)
def test_a_status_is_found_where_servers_put_it_and_not_in_other_numbers(text: str, status: str) -> None:
    assert status_in(text) == status


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("mailbox is full", "5.2.2"), ("The user is over quota", "5.2.2"), ("User unknown", "5.1.1"),
        ("this account does not exist", "5.1.1"), ("Domain not found", "5.1.2"), ("account has been disabled", "5.2.1"),
        ("retry timeout exceeded", "4.4.7"), ("Hello", ""),
    ],
)  # fmt: skip
def test_words_are_understood_where_there_is_no_number(text: str, status: str) -> None:
    assert status_in(text, phrases=True) == status
