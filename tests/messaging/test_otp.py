"""One-time passwords: ranges, the text, one use, attempts, limits; and what is known of telephone numbers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from heliograph.messaging.v1 import messages_pb2, opt_outs_pb2, otp_pb2, phone_numbers_pb2
from heliograph_channels.parts import measure
from heliograph_kit.errors import Unavailable
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_messaging.domain import otp
from heliograph_messaging.domain.otp import Wish
from heliograph_messaging.phones import PhoneType, look_up
from heliograph_messaging.service.otp import TEXTS
from heliograph_messaging.service.phone_numbers import PhoneNumbers
from tests.messaging.conftest import PARENT, Service, Started
from tests.messaging.test_api import announce

D = messages_pb2.DeliveryStatus
NUMBER = "+12065550100"
TO = "+12065550142"


# -- pure ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"brand": ""}, "brand_name"),
        ({"brand": "x" * 20}, ""),
        ({"brand": "x" * 21}, "brand_name"),
        ({"brand": "a\nb"}, "brand_name"),
        ({"reference": ""}, "reference_id"),
        ({"reference": "r" * 48}, ""),
        ({"reference": "r" * 49}, "reference_id"),
        ({"length": 4}, "code_length"),
        ({"length": 5}, ""),
        ({"length": 8}, ""),
        ({"length": 9}, "code_length"),
        ({"validity": timedelta(minutes=4)}, "validity_period"),
        ({"validity": timedelta(minutes=5)}, ""),
        ({"validity": timedelta(minutes=60)}, ""),
        ({"validity": timedelta(minutes=61)}, "validity_period"),
        ({"validity": timedelta(minutes=5, seconds=1)}, "validity_period"),
        ({"attempts": 0}, "allowed_attempts"),
        ({"attempts": 1}, ""),
        ({"attempts": 5}, ""),
        ({"attempts": 6}, "allowed_attempts"),
        ({"language": "xx-XX"}, "language"),
    ],
    ids=str,
)
def test_each_range_is_kept_at_its_ends(change: dict[str, Any], field: str) -> None:
    wish = Wish(**{"brand": "Shop", "reference": "r", **change})
    assert [problem.field for problem in otp.problems(wish, TEXTS)] == ([field] if field else [])


def test_every_language_of_the_reference_has_a_text_that_fits_one_message() -> None:
    assert set(TEXTS) == set(
        "de-DE en-GB en-US es-419 es-ES fr-CA fr-FR it-IT ja-JP ko-KR pt-BR zh-CN zh-TW".split()
    )  # fmt: skip
    for language, template in TEXTS.items():
        said = otp.text_of(template, code="01234567", brand="B" * 20)
        assert said.count("01234567") == said.count("B" * 20) == 1, language
        assert "{" not in said, language
        assert measure(said).parts <= 2, language
    assert (
        otp.text_of(TEXTS["en-US"], code="012345", brand="Shop") == "This is your One Time Password: 012345 from Shop"
    )


@given(st.integers(5, 8), st.data())
def test_a_code_has_its_digits_and_leading_zeros(length: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, 10**length - 1))
    code = otp.new_code(length, lambda below: number if below == 10**length else -1)
    assert re.fullmatch(f"[0-9]{{{length}}}", code)
    assert int(code) == number


@given(st.lists(st.text(max_size=6), min_size=4, max_size=4), st.lists(st.text(max_size=6), min_size=4, max_size=4))
def test_a_hash_belongs_to_one_project_destination_reference_and_code(one: list[str], other: list[str]) -> None:
    def hashed(parts: list[str], pepper: bytes = b"p" * 32) -> bytes:
        project, destination, reference, code = parts
        return otp.hashed(pepper, project=project, destination=destination, reference=reference, code=code)

    assert (hashed(one) == hashed(other)) == (one == other)
    assert hashed(one) != hashed(one, b"q" * 32)


def test_a_brand_brings_no_code_and_no_variable_of_its_own() -> None:
    assert otp.text_of("{otp} {brand}", code="123456", brand="{otp}") == "123456 {otp}"


# -- through gRPC --------------------------------------------------------------------------------------------------------


def asked(**fields: Any) -> otp_pb2.SendOTPRequest:
    given = {"brand_name": "Shop", "destination": TO, "origination": NUMBER, "reference_id": "login", **fields}
    return otp_pb2.SendOTPRequest(parent=PARENT, wait_for_result=duration_pb2.Duration(seconds=10), **given)


async def ready(service: Service) -> Service:
    await service.set_up("SMS")
    await announce(service, NUMBER, "READY", 1)
    return service


def code_of(service: Service) -> str:
    found = re.search(r"[0-9]{5,8}", service.scripted.sent[-1].content.body)  # type: ignore[union-attr]
    assert found is not None
    return found[0]


async def valid(service: Service, code: str, **fields: Any) -> bool:
    given = {"parent": PARENT, "destination": TO, "reference_id": "login", "otp": code, **fields}
    return (await service.otps.VerifyOTP(otp_pb2.VerifyOTPRequest(**given))).valid


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


@pytest.mark.integration
async def test_a_code_is_sent_and_is_right_once_for_its_destination_reference_and_project(service: Service) -> None:
    await ready(service)
    answer = await service.otps.SendOTP(asked(brand_name="{{Shop}}"))
    assert (answer.message.status, answer.message.to_address) == (D.DELIVERY_STATUS_SUCCESSFUL, TO)
    code = code_of(service)
    body = service.scripted.sent[0].content.body  # type: ignore[union-attr]
    assert body == f"This is your One Time Password: {code} from {{{{Shop}}}}"
    assert (len(code), service.scripted.sent[0].origination) == (6, NUMBER)
    for other in ({"destination": "+12065550143"}, {"reference_id": "Login"}, {"parent": "projects/other"}):
        assert not await valid(service, code, **other)
    assert await valid(service, code)
    assert not await valid(service, code)
    async with service.runtime.database.transaction() as conn:
        stored = str((await conn.execute(text("SELECT * FROM messaging.otps"))).all())
    assert code not in stored


@pytest.mark.integration
async def test_after_the_allowed_wrong_codes_the_right_one_is_wrong_too(service: Service) -> None:
    await ready(service)
    await service.otps.SendOTP(asked(allowed_attempts=2))
    code = code_of(service)
    assert not await valid(service, wrong(code))
    assert not await valid(service, wrong(code))
    assert not await valid(service, code)
    await service.otps.SendOTP(asked(allowed_attempts=2, code_length=8, language="de-DE"))
    again = code_of(service)
    assert (len(again), service.scripted.sent[-1].content.body.startswith("Ihr ")) == (8, True)  # type: ignore[union-attr]
    assert not await valid(service, code)
    assert await valid(service, again)


@pytest.mark.integration
async def test_a_code_that_expired_is_wrong(service: Service) -> None:
    await ready(service)
    await service.otps.SendOTP(asked(validity_period=duration_pb2.Duration(seconds=300)))
    async with service.runtime.database.transaction() as conn:
        left = (await conn.execute(text("SELECT expire_time - now() FROM messaging.otps"))).scalar_one()
        assert timedelta(minutes=4) < left <= timedelta(minutes=5, seconds=5)
        await conn.execute(text("UPDATE messaging.otps SET expire_time = now() - interval '1 ms'"))
    assert not await valid(service, code_of(service))


@pytest.mark.integration
async def test_of_hundreds_that_verify_at_the_same_time_one_succeeds(start: Started) -> None:
    one, other = await start(), await start()
    await ready(one)
    await one.otps.SendOTP(asked())
    code = code_of(one)
    answers = await asyncio.gather(*(valid((one, other)[n % 2], code) for n in range(300)))
    assert sum(answers) == 1
    await one.otps.SendOTP(asked(allowed_attempts=5))
    code = code_of(one)
    guesses = [wrong(code)] * 5 + [code]
    answers = await asyncio.gather(*(valid(one, guess) for guess in guesses * 20))
    assert sum(answers) <= 1
    assert not await valid(one, code)


@pytest.mark.integration
async def test_a_repeated_request_makes_no_second_code(service: Service) -> None:
    await ready(service)
    request = asked(request_id="r1")
    answers = await asyncio.gather(*(service.otps.SendOTP(request) for _ in range(8)))
    assert {answer.message.message for answer in answers} == {answers[0].message.message}
    assert len(service.scripted.sent) == 1
    assert await valid(service, code_of(service))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.otps.SendOTP(asked(request_id="r1", brand_name="Other"))
    assert reason_of(caught.value) == "REQUEST_ID_REUSED"


@pytest.mark.integration
async def test_no_more_codes_than_the_limits_go_to_a_number_or_to_those_around_it(start: Started) -> None:
    service = await ready(await start(otp_per_destination=3, otp_per_block=5))

    async def send(destination: str) -> otp_pb2.SendOTPResponse:
        return await service.otps.SendOTP(asked(destination=destination))

    answers = await asyncio.gather(*(send(TO) for _ in range(6)))
    statuses = sorted(D.Name(answer.message.status) for answer in answers)
    assert statuses == ["DELIVERY_STATUS_SUCCESSFUL"] * 3 + ["DELIVERY_STATUS_THROTTLED"] * 3
    late = next(one.message for one in answers if one.message.status == D.DELIVERY_STATUS_THROTTLED)
    assert (late.reason, late.status_code, late.message) == ("THROTTLED", 429, "")
    # The refused ones left the code before as it was, and did not count for the block.
    codes = {re.search(r"[0-9]{6}", message.content.body)[0] for message in service.scripted.sent}  # type: ignore[union-attr, index]
    assert sum([await valid(service, code) for code in codes]) == 1
    around = [await send(f"+1206555{number}") for number in ("0191", "0192", "0193")]
    assert [one.message.status_code for one in around] == [200, 200, 429]
    assert (await send("+12065560191")).message.status_code == 200
    async with service.runtime.database.transaction() as conn:
        await conn.execute(
            text(
                "UPDATE messaging.otp_sends SET times = (SELECT array_agg(t - interval '1 hour') FROM unnest(times) t)"
            )
        )
    assert (await send(TO)).message.status_code == 200


@pytest.mark.integration
async def test_what_is_wrong_with_a_code_request_is_refused_with_every_violation(service: Service) -> None:
    await ready(service)

    async def refused(**fields: Any) -> set[str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.otps.SendOTP(asked(**fields))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        return {field for field, _ in violations_of(caught.value)}

    assert await refused(
        brand_name="", reference_id="", code_length=9, allowed_attempts=6, language="xx", destination="12065550142",
        origination="way too long a name", channel="EMAIL", entity_id="a b", request_id="r" * 65,
        validity_period=duration_pb2.Duration(seconds=299),
    ) == {
        "brand_name", "reference_id", "code_length", "allowed_attempts", "language", "destination", "origination",
        "channel", "entity_id", "request_id", "validity_period",
    }  # fmt: skip
    assert await refused(origination="+12065550199") == {"origination"}
    # No short code, none of ours, and one of ours.
    for number in ("12", "123456789", "54321"):
        assert await refused(origination=number) == {"origination"}
    assert not service.scripted.sent
    await announce(service, "12345", "READY", 2)
    assert (await service.otps.SendOTP(asked(origination="12345"))).message.status == D.DELIVERY_STATUS_SUCCESSFUL
    assert service.scripted.sent[-1].origination == "12345"
    answer = await service.otps.SendOTP(asked(destination="+491711234567", origination="Shop"))
    assert answer.message.status == D.DELIVERY_STATUS_SUCCESSFUL


@pytest.mark.integration
async def test_a_number_that_opted_out_gets_no_code(service: Service) -> None:
    await ready(service)
    await service.opt_outs.AddOptedOutNumbers(
        opt_outs_pb2.AddOptedOutNumbersRequest(parent=f"{PARENT}/optOutLists/Default", numbers=[TO])
    )
    answer = await service.otps.SendOTP(asked())
    assert (answer.message.status, answer.message.reason) == (D.DELIVERY_STATUS_OPT_OUT, "ENDPOINT_OPT_OUT")
    assert not service.scripted.sent


@pytest.mark.integration
async def test_without_an_sms_channel_the_result_says_so(service: Service) -> None:
    await announce(service, NUMBER, "READY", 1)
    answer = await service.otps.SendOTP(asked())
    assert (answer.message.status_code, answer.message.reason) == (400, "CHANNEL_NOT_USABLE")


# -- telephone numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "region", "kind", "e164", "national", "country"),
    [
        ("+12062065500", "", "MOBILE", "+12062065500", "2062065500", "US"),
        ("1 (206) 206-5500", "", "MOBILE", "+12062065500", "2062065500", "US"),
        ("(206) 206.5500", "us", "MOBILE", "+12062065500", "2062065500", "US"),
        ("+442071234567", "", "LANDLINE", "+442071234567", "2071234567", "GB"),
        ("020 7123 4567", "GB", "LANDLINE", "+442071234567", "2071234567", "GB"),
        ("+447400123456", "", "MOBILE", "+447400123456", "7400123456", "GB"),
        ("+445612345678", "", "VOIP", "+445612345678", "5612345678", "GB"),
        ("+18005551234", "", "OTHER", "+18005551234", "8005551234", "US"),
        ("+12065550142", "", "OTHER", "+12065550142", "2065550142", "US"),
        ("+15551234567", "", "OTHER", "+15551234567", "5551234567", "US"),
        ("+19992345678", "", "OTHER", "+19992345678", "9992345678", "US"),
        ("+1206555", "", "INVALID", "+1206555", "206555", "US"),
        ("123", "US", "INVALID", "+1123", "123", "US"),
        ("+999123456", "", "INVALID", "+999123456", "999123456", ""),
        ("nothing", "", "INVALID", "", "", ""),
    ],
    ids=lambda value: str(value),
)
def test_a_number_is_cleansed_and_its_line_told_as_far_as_plans_know(
    written: str, region: str, kind: str, e164: str, national: str, country: str
) -> None:
    known = look_up(written, region)
    assert (known.phone_type, known.e164, known.national, known.region) == (kind, e164, national, country)
    if kind in ("INVALID", "OTHER"):
        assert (known.carrier, known.city, known.time_zone) == ("", "", "")


def test_the_codes_of_the_types_are_those_of_the_reference() -> None:
    assert [(kind.code, str(kind)) for kind in PhoneType] == [
        (0, "MOBILE"), (1, "LANDLINE"), (2, "VOIP"), (3, "INVALID"), (4, "OTHER"), (5, "PREPAID"),
    ]  # fmt: skip


@given(st.text(max_size=64), st.sampled_from(["", "US", "de"]))
def test_whatever_is_written_is_answered(written: str, region: str) -> None:
    known = look_up(written, region)
    assert known.phone_type in PhoneType
    assert known.e164 == "" or re.fullmatch(r"\+[0-9]+", known.e164)


@pytest.mark.integration
async def test_a_number_is_looked_up_in_a_process_of_its_own_that_may_die(service: Service) -> None:
    ask = phone_numbers_pb2.ValidatePhoneNumberRequest
    london = ask(phone_number="020 7123 4567", country_code_iso2="GB")
    found = await service.phones.ValidatePhoneNumber(london, timeout=60)
    assert (found.phone_type, found.phone_type_code) == (phone_numbers_pb2.PHONE_TYPE_LANDLINE, 1)
    assert (found.city, found.time_zone, found.country) == ("London", "Europe/London", "United Kingdom")
    assert (found.country_code_numeric, found.original_phone_number) == ("44", "020 7123 4567")
    many = [ask(phone_number=f"+1206206{number:04d}") for number in range(30)]
    answers = await asyncio.gather(*(service.phones.ValidatePhoneNumber(one, timeout=60) for one in many))
    assert [one.cleansed_phone_number_e164 for one in answers] == [one.phone_number for one in many]
    broken = await service.phones.ValidatePhoneNumber(ask(phone_number="+1206555"))
    assert (broken.phone_type_code, broken.cleansed_phone_number_e164) == (3, "+1206555")
    for request, field in (
        (ask(), "phone_number"), (ask(phone_number="1" * 65), "phone_number"),
        (ask(phone_number="1", country_code_iso2="XX"), "country_code_iso2"),
    ):  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.phones.ValidatePhoneNumber(request)
        assert [name for name, _ in violations_of(caught.value)] == [field]


@pytest.mark.integration
async def test_plans_whose_process_died_or_rested_are_read_again() -> None:
    plans = PhoneNumbers(idle_seconds=0.5)
    try:
        first = await plans.validate("+442071234567", "")
        process = plans._process
        assert process is not None
        process.kill()
        with contextlib.suppress(Unavailable):
            await plans.validate("+442071234567", "")
        assert await plans.validate("+442071234567", "") == first
        assert plans._process is not process
        await eventually(lambda: plans._process is None)
    finally:
        await plans.close()
