"""What an SMS leaves from (pinpoint-2 3.1): a pure rule, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_messaging.domain.countries import CountryRule, CountryRules, SenderIds
from heliograph_messaging.domain.numbers import Number, Registration, caller_problem
from heliograph_messaging.domain.origination import Choice, Originations, Pool, SenderRules, Wanted, Ways
from heliograph_messaging.regions import country_of

pytestmark = pytest.mark.unit

RULES = CountryRules(
    "2026-01-01",
    {
        "FR": CountryRule(SenderIds.SUPPORTED, two_way=True, price_micros=70_000),
        "CA": CountryRule(SenderIds.NOT_SUPPORTED, two_way=True, price_micros=7_000),
        "IN": CountryRule(SenderIds.REGISTRATION_REQUIRED, two_way=True, price_micros=3_000),
    },
)
PAIR = ("TRANSACTIONAL", "PROMOTIONAL")
T, P = PAIR


def number(digits: str, kind: str, state: str = "READY", *, sms: bool = True, **more: Any) -> Number:
    use_case = "projects/shop/useCases/u" if kind == "TEN_DLC" else ""
    return Number(digits, kind, state, sms, use_case, **{"country": country_of(digits) or "US", **more})


TEN = number("+12065550100", "TEN_DLC")
CODE = number("12345", "SHORT_CODE")
FREE = number("+18885550100", "TOLL_FREE")
US_LONG = number("+12065550199", "LONG_CODE")
FR_LONG = number("+33755512599", "LONG_CODE")
DE_LONG = number("+4915112345678", "LONG_CODE")
CA_LONG = number("+14165550100", "LONG_CODE")
FR_CODE = number("36180", "SHORT_CODE", country="FR")
CA_CODE = number("54321", "SHORT_CODE", country="CA")
SIM = number("+12065550000", "SIMULATOR")


def in_pool(one: Number, pool: str = "p") -> Number:
    return replace(one, pool=pool)


def of_type(one: Number, message_type: str) -> Number:
    return replace(one, message_type=message_type)


def on(one: Number, route: str) -> Number:
    return replace(one, route=route)


NONE = "NO_ORIGINATION_IDENTITY_AVAILABLE_TO_SEND"
CASES: list[tuple[str, list[Number], dict[str, Any], str, str, str]] = [
    # what it shows, numbers, what is wanted and set, country, origination, words of the problem
    ("a short code comes first in the US", [FREE, TEN, CODE], {}, "US", "12345", ""),
    ("then a 10DLC number", [FREE, TEN], {}, "US", "+12065550100", ""),
    ("then a toll-free one", [FREE, US_LONG], {}, "US", "+18885550100", ""),
    ("an unregistered long code never", [US_LONG], {}, "US", "",
     "+12065550199 (LONG_CODE) is an unregistered US LONG_CODE, which makes calls only"),
    ("not even abroad", [US_LONG], {"sender_id": "", "shared_routes": False}, "FR", "", NONE),
    ("nor when it is named", [US_LONG], {"number": "+12065550199"}, "US", "", "may not send SMS to the US"),
    ("no number at all", [], {}, "US", "", f"{NONE}: no number of this project may send SMS to the US: it has none"),
    ("a pending number is named as such", [replace(TEN, state="PENDING")], {}, "US", "", "(TEN_DLC) is PENDING"),
    ("and how long that takes", [replace(TEN, state="PENDING")], {}, "US", "", "takes about 14 days"),
    ("a converting number makes calls only", [replace(US_LONG, state="CONVERTING")], {"number": US_LONG.number}, "US", "",
     "INVALID_ORIGINATION_IDENTITY: +12065550199 is CONVERTING to a 10DLC number"),
    ("a suspended one is named as such", [replace(TEN, state="SUSPENDED")], {"number": TEN.number}, "US", "",
     "INVALID_ORIGINATION_IDENTITY: +12065550100 is SUSPENDED by a carrier"),
    ("one that leaves its use case too", [replace(TEN, state="DISASSOCIATING"), FREE], {"number": TEN.number}, "US", "",
     "is DISASSOCIATING"),
    ("one whose order failed too", [replace(TEN, state="FAILED")], {}, "US", "", "+12065550100 (TEN_DLC) is FAILED"),
    ("a state of tomorrow is told as it is", [replace(TEN, state="MOVED")], {}, "US", "", "is MOVED; it sends once it is READY"),
    ("an unassociated long code is unregistered", [replace(US_LONG, state="UNASSOCIATED", sms_capable=False)],
     {"number": US_LONG.number}, "US", "", "is an unregistered US LONG_CODE"),
    ("it does not reach a simulator number either", [US_LONG], {"simulated": True, "number": US_LONG.number}, "US", "",
     "is an unregistered US LONG_CODE"),
    ("every number is told of", [replace(TEN, state="PENDING"), US_LONG, replace(FREE, sms_capable=False)], {}, "US", "",
     "; +18885550100 (TOLL_FREE) cannot send SMS"),
    ("but no more than a few",
     [number(f"+1206555010{n}", "TEN_DLC", "PENDING") for n in range(5)], {}, "US", "", "; and 2 more"),
    ("also where the type is wrong", [of_type(CODE, P), of_type(TEN, P)], {"message_type": T}, "US", "",
     "12345 (SHORT_CODE) carries PROMOTIONAL messages only"),
    ("and abroad", [TEN], {"sender_id": "", "shared_routes": False}, "FR", "",
     "nothing of this project sends SMS to FR: +12065550100 (TEN_DLC) is a TEN_DLC, which sends to the US only"),
    ("and of a pool", [in_pool(replace(TEN, state="SUSPENDED")), CODE], {"pool": "p"}, "US", "",
     "no member of the pool p may send SMS to the US: +12065550100 (TEN_DLC) is SUSPENDED"),
    ("a pending number is passed over", [replace(TEN, state="PENDING"), FREE], {}, "US", "+18885550100", ""),
    ("a released number is not told of", [replace(TEN, state="RELEASED")], {}, "US", "", "it has none"),
    ("a number for voice only", [replace(TEN, sms_capable=False)], {}, "US", "", "no number"),
    ("a simulator sends to no real phone", [SIM], {}, "US", "", "no number"),
    ("the only US number carries everything", [of_type(TEN, P)], {"message_type": T}, "US", "+12065550100", ""),
    ("even toll-free for the other type", [of_type(FREE, T), FR_LONG], {"message_type": P}, "US", "+18885550100", ""),
    ("of two the type decides", [of_type(CODE, P), of_type(TEN, T)], {"message_type": T}, "US", "+12065550100", ""),
    ("and then none may be left", [of_type(CODE, P), of_type(TEN, P)], {"message_type": T}, "US", "", NONE),
    ("one made for the type before one for both", [TEN, of_type(FREE, T), of_type(number("+12065550101", "TEN_DLC"), T)],
     {"message_type": T}, "US", "+12065550101", ""),
    ("one for both serves a type", [of_type(TEN, P), FREE], {"message_type": T}, "US", "+18885550100", ""),
    ("a project's type counts like a message's", [of_type(CODE, P), FREE], {"default_type": T}, "US", "+18885550100", ""),
    ("a message's type wins over the project's", [of_type(CODE, P), of_type(FREE, T)],
     {"message_type": P, "default_type": T}, "US", "12345", ""),
    ("without any type transactional comes first", [of_type(number("+12065550101", "TEN_DLC"), P), of_type(TEN, T)], {},
     "US", "+12065550100", ""),
    ("and promotional is better than none", [of_type(CODE, P), of_type(TEN, P)], {}, "US", "12345", ""),
    ("a short code of another country is none of the US", [CA_CODE, TEN, FREE], {}, "US", "+12065550100", ""),
    ("a number named is used whatever there is", [TEN, CODE], {"number": "+12065550100"}, "US", "+12065550100", ""),
    ("one that is not ours is an error", [TEN], {"number": "+12065550777"}, "US", "",
     "ORIGINATION_IDENTITY_DOES_NOT_EXIST: +12065550777 does not belong to this project"),
    ("a released one too", [replace(TEN, state="RELEASED"), FREE], {"number": "+12065550100"}, "US", "", "does not belong"),
    ("one that is pending too", [replace(TEN, state="PENDING"), FREE], {"number": "+12065550100"}, "US", "",
     "+12065550100 is PENDING"),
    ("one for voice too", [replace(TEN, sms_capable=False)], {"number": "+12065550100"}, "US", "", "cannot send SMS"),
    ("one that cannot go there too", [TEN, FR_LONG], {"number": "+12065550100"}, "FR", "", "sends to the US only"),
    ("toll-free goes nowhere else either", [FREE], {"number": "+18885550100"}, "FR", "", "sends to the US only"),
    ("a foreign long code does not reach the US", [FR_LONG], {"number": "+33755512599"}, "US", "",
     "is a LONG_CODE, which may not send SMS to the US"),
    ("a short code stays in its country", [FR_CODE], {"number": "36180"}, "CA", "", "is a SHORT_CODE of FR"),
    ("a named number of another type", [of_type(TEN, P), FREE], {"number": "+12065550100", "message_type": T}, "US", "",
     "MESSAGE_TYPE_MISMATCH"),
    ("but a message without type takes the number's", [of_type(TEN, P)], {"number": "+12065550100", "default_type": T},
     "US", "+12065550100", ""),
    ("a number wins over a sender id", [FR_LONG], {"number": "+33755512599", "sender_id": "Shop"}, "FR", "+33755512599", ""),
    ("and over a pool", [TEN, in_pool(FREE)], {"number": "+12065550100", "pool": "p"}, "US", "+12065550100", ""),
    ("a domestic short code comes first elsewhere", [FR_LONG, FR_CODE, DE_LONG], {}, "FR", "36180", ""),
    ("then a domestic long code", [DE_LONG, FR_LONG, CODE], {}, "FR", "+33755512599", ""),
    ("then a long code of another country", [DE_LONG, TEN, FREE, CODE], {}, "FR", "+4915112345678", ""),
    ("a foreign short code never", [CODE, CA_CODE], {}, "FR", "Shop", ""),
    ("US numbers stay in the US", [TEN, FREE], {}, "FR", "Shop", ""),
    ("Canada is not the US", [TEN, CA_LONG], {}, "CA", "+14165550100", ""),
    ("a transactional long code is preferred", [of_type(number("+33755512598", "LONG_CODE"), P), of_type(FR_LONG, T)], {},
     "FR", "+33755512599", ""),
    ("a type that fits comes before nearness", [of_type(FR_LONG, P), DE_LONG], {"message_type": T}, "FR", "+4915112345678",
     ""),
    ("a number comes before a sender id", [DE_LONG], {"sender_id": "Shop"}, "FR", "+4915112345678", ""),
    ("a sender id serves where carriers show it", [], {}, "FR", "Shop", ""),
    ("where they do not, shared routes serve", [], {}, "CA", "", ""),
    ("or nothing, when these are off", [], {"shared_routes": False}, "CA", "",
     "SENDER_ID_NOT_SUPPORTED_FOR_DESTINATION: Shop cannot be used in CA"),
    ("one that is not registered does not serve", [], {}, "IN", "", ""),
    ("one that is registered there does", [], {"registered": {("Shop", "IN")}}, "IN", "Shop", ""),
    ("registered elsewhere is not enough", [], {"registered": {("Shop", "FR")}, "shared_routes": False}, "IN", "",
     "SENDER_ID_NOT_SUPPORTED"),
    ("a country without a rule shows none", [], {}, "CU", "", ""),
    ("a number of the provider's own is no sender id", [], {"sender_id": "+41791234567"}, "CA", "+41791234567", ""),
    ("no sender id and no shared routes", [], {"sender_id": "", "shared_routes": False}, "FR", "", f"{NONE}: nothing"),
    ("neither serves the US", [FR_LONG], {"sender_id": "Shop"}, "US", "", NONE),
    ("an unknown country is not the US", [], {"sender_id": "", "shared_routes": True}, "", "", ""),
    ("a pool gives one of its members", [CODE, in_pool(TEN), in_pool(FREE, "q")], {"pool": "p"}, "US", "+12065550100", ""),
    ("in the order of kinds", [in_pool(FREE), in_pool(TEN)], {"pool": "p"}, "US", "+12065550100", ""),
    ("none of its members will do", [CODE, in_pool(FR_LONG)], {"pool": "p"}, "US", "", "no member of the pool p may send"),
    ("its sender id serves abroad", [in_pool(TEN)], {"pool": "p", "pool_senders": ("Brand",)}, "FR", "Brand", ""),
    ("where carriers show it", [in_pool(TEN)], {"pool": "p", "pool_senders": ("Brand",)}, "CA", "", "no member of the pool"),
    ("its shared routes serve abroad", [in_pool(TEN)], {"pool": "p", "pool_shared": True}, "CA", "", ""),
    ("but never in the US", [in_pool(FR_LONG)], {"pool": "p", "pool_shared": True}, "US", "", "no member of the pool"),
    ("the project's shared routes are not the pool's", [in_pool(TEN)], {"pool": "p", "shared_routes": True}, "CA", "",
     "no member of the pool"),
    ("a pool of another type", [in_pool(of_type(TEN, P))], {"pool": "p", "pool_type": P, "message_type": T}, "US", "",
     "MESSAGE_TYPE_MISMATCH: p carries PROMOTIONAL"),
    ("a pool that is not there", [TEN], {"pool": "gone"}, "US", "", "INVALID_POOL_ID: there is no pool gone"),
    ("a number whose route is there", [on(TEN, "b"), FREE], {"known": {"", "b"}}, "US", "+12065550100", ""),
    ("one whose route is off is passed over", [on(TEN, "b"), FREE], {"known": {""}}, "US", "+18885550100", ""),
    ("and named it is an error", [on(TEN, "b")], {"known": {""}, "number": "+12065550100"}, "US", "",
     "belongs to the route 'b'"),
    ("one whose route is away waits for others", [on(CODE, ""), on(TEN, "b")], {"known": {"", "b"}, "open": {"b"}}, "US",
     "+12065550100", ""),
    ("one of any route is never away", [on(CODE, "b"), TEN], {"known": {"", "b"}, "open": {""}}, "US", "+12065550100", ""),
    ("all away: the best waits", [on(CODE, ""), on(TEN, "")], {"known": {"", "b"}, "open": {"b"}}, "US", "12345", ""),
    ("a named number waits for its route", [on(CODE, ""), on(TEN, "b")],
     {"known": {"", "b"}, "open": {"b"}, "number": "12345"}, "US", "12345", ""),
    ("the channel's own provider is a route too", [on(TEN, "")], {"known": {""}, "open": {""}}, "US", "+12065550100", ""),
    ("a simulator number is reached from nothing", [], {"simulated": True}, "US", "", ""),
    ("and from a real number", [TEN, SIM], {"simulated": True}, "US", "+12065550100", ""),
    ("and from a simulator", [SIM, US_LONG], {"simulated": True}, "US", "+12065550000", ""),
    ("a named simulator reaches it", [SIM], {"simulated": True, "number": "+12065550000"}, "US", "+12065550000", ""),
    ("but nobody else", [SIM], {"number": "+12065550000"}, "US", "", "reaches simulator numbers only"),
    ("a name that is not ours is an error there, too", [], {"simulated": True, "number": "+12065550777"}, "US", "",
     "does not belong"),
]  # fmt: skip


def originations(numbers: list[Number], how: dict[str, Any]) -> Originations:
    wanted = Wanted(
        how.get("number", ""), how.get("pool", ""), how.get("sender_id", "Shop"), how.get("message_type", "")
    )
    rules = SenderRules(
        RULES, frozenset(how.get("registered", ())), how.get("shared_routes", True), how.get("default_type", "")
    )
    pools = [
        Pool("p", how.get("pool_type", ""), how.get("pool_shared", False), how.get("pool_senders", ())),
        Pool("q"),
    ]
    known, open_now = how.get("known"), how.get("open")
    ways = Ways(None if known is None else frozenset(known), None if open_now is None else frozenset(open_now))
    return Originations(numbers, wanted, pools, rules, ways)


@pytest.mark.parametrize(
    ("numbers", "how", "country", "origination", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_an_sms_leaves_from_what_the_rules_name(
    numbers: list[Number], how: dict[str, Any], country: str, origination: str, words: str
) -> None:
    choice = originations(numbers, how).choose("+33600000001", country=country, simulated=how.get("simulated", False))
    assert choice.origination == origination
    assert words in choice.problem
    assert bool(choice.problem) == bool(words)


FOR_CALLS = replace(US_LONG, voice_capable=True)


@pytest.mark.parametrize(
    ("numbers", "named", "words"),
    [
        ([FOR_CALLS], US_LONG.number, ""),
        ([replace(FOR_CALLS, state="CONVERTING")], US_LONG.number, ""),
        ([replace(TEN, voice_capable=True, sms_capable=False, state="PENDING")], TEN.number, ""),
        ([], "+33140000000", ""),
        ([replace(TEN, state="RELEASED")], TEN.number, ""),
        ([FOR_CALLS], "+33140000000", "ORIGINATION_IDENTITY_DOES_NOT_EXIST: +33140000000 does not belong"),
        ([TEN], TEN.number, "INVALID_ORIGINATION_IDENTITY: +12065550100 cannot make calls"),
        ([replace(FOR_CALLS, state="ORDERED")], US_LONG.number, "is ORDERED and not there yet"),
        ([FOR_CALLS, replace(TEN, voice_capable=True, state="RELEASED")], TEN.number, "does not belong"),
    ],
    ids=[
        "an unregistered long code", "a converting number", "one without SMS that is pending", "a project without numbers",
        "one whose numbers are gone", "somebody else's number", "a number for SMS only", "one that is not there yet",
        "one that was given back",
    ],
)  # fmt: skip
def test_calls_come_from_any_number_that_makes_them(numbers: list[Number], named: str, words: str) -> None:
    problem = caller_problem(numbers, named)
    assert words in problem
    assert bool(words) == bool(problem)


def test_numbers_of_one_use_case_share_its_rate_with_whoever_borrows_them() -> None:
    lent = replace(TEN, registration=Registration(lent_by="projects/shop"))
    assert lent.throughput == TEN.throughput
    assert TEN.throughput.project == "shop"
    free = replace(FREE, registration=Registration(lent_by="projects/parent"))
    assert (free.throughput.key, free.throughput.project) == (FREE.number, "parent")
    assert CODE.throughput.project == ""


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40
    assert len({case[0] for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("numbers", "how", "message_type"),
    [
        ([TEN], {}, T),
        ([TEN], {"default_type": P}, P),
        ([TEN], {"default_type": P, "message_type": T}, T),
        ([of_type(TEN, P)], {"number": TEN.number}, P),
        ([of_type(TEN, P)], {}, P),
    ],
    ids=["transactional when nobody says", "the project's", "the message's", "a named number's", "a chosen number's"],
)
def test_a_message_is_of_the_type_that_its_number_carries(
    numbers: list[Number], how: dict[str, Any], message_type: str
) -> None:
    assert originations(numbers, how).choose("+12065550123", country="US").message_type == message_type


def test_a_choice_tells_use_case_and_route() -> None:
    choice = originations([on(TEN, "b")], {}).choose("+12065550123", country="US")
    assert choice == Choice(TEN.number, TEN.use_case, "", T, "b")


def test_a_destination_keeps_its_number_when_another_one_is_added() -> None:
    pool = [number(f"+1206555010{index}", "TEN_DLC") for index in range(4)]
    destinations = [f"+1312555{index:04d}" for index in range(400)]

    def chosen(numbers: list[Number]) -> list[str]:
        all_ = Originations(numbers)
        return [all_.choose(one, country="US").origination for one in destinations]

    before, after = chosen(pool[:3]), chosen(pool)
    assert len(set(before)) == 3
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {pool[3].number}
    assert 60 < after.count(pool[3].number) < 140


@given(
    st.permutations([TEN, CODE, FREE, FR_LONG, DE_LONG, FR_CODE, CA_LONG]),
    st.sampled_from(["US", "FR", "CA", "IN", ""]),
)
def test_the_order_of_numbers_decides_nothing(numbers: list[Number], country: str) -> None:
    asked = originations(sorted(numbers, key=lambda one: one.number), {}).choose("+33600000001", country=country)
    assert originations(numbers, {}).choose("+33600000001", country=country) == asked


@given(
    st.lists(
        st.builds(
            number,
            st.sampled_from(["+12065550100", "+18885550100", "12345", "+33755512599", "+14165550100"]),
            st.sampled_from(["SHORT_CODE", "TEN_DLC", "TOLL_FREE", "LONG_CODE", "SIMULATOR"]),
            st.sampled_from(["READY", "PENDING", "RELEASED", "UNASSOCIATED"]),
            sms=st.booleans(),
            message_type=st.sampled_from(["", T, P]),
        ),
        max_size=6,
    ),
    st.sampled_from(["", T, P]),
)
def test_nothing_but_a_ready_short_code_10dlc_or_toll_free_number_ever_serves_the_us(
    numbers: list[Number], message_type: str
) -> None:
    choice = originations(numbers, {"message_type": message_type}).choose("+12065550123", country="US")
    if choice.problem:
        assert choice.origination == ""
        return
    used = [n for n in numbers if n.number == choice.origination and n.state == "READY" and n.sms_capable]
    assert any(n.kind in ("SHORT_CODE", "TEN_DLC", "TOLL_FREE") for n in used)
