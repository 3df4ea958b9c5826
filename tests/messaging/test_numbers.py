"""Numbers, pools, keywords and SMS settings over gRPC, on a real database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from heliograph.messaging.v1 import origination_pb2
from heliograph_kit.migrations import differences
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import StartFailed
from heliograph_messaging.domain.keywords import MAX_KEYWORDS
from heliograph_messaging.domain.pools import MAX_MEMBERS, MAX_POOLS
from heliograph_messaging.tables import metadata
from tests.messaging.conftest import PARENT, Service, Started, Values
from tests.messaging.numbers import (
    CODE,
    FREE,
    FRENCH,
    PROMOTIONAL,
    TEN,
    announce,
    list_of,
    make_list,
    make_pool,
    name_of,
    put_keyword,
    set_number,
    set_sms,
)

pytestmark = pytest.mark.integration
Code = grpc.StatusCode
A = origination_pb2
OTHER = "+12065550101"


async def refused(call: Awaitable[Any], code: grpc.StatusCode, reason: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert (caught.value.code(), reason_of(caught.value)) == (code, reason)
    return caught.value


async def test_the_migrations_make_the_tables_that_are_declared(service: Service, values: Values) -> None:
    assert differences(values["database_url"], metadata) == []


# -- numbers --------------------------------------------------------------------------------------------------------


async def test_a_number_shows_what_the_registry_announced_and_what_messaging_was_told(service: Service) -> None:
    await announce(service, TEN, FRENCH, CODE)
    await make_list(service, "Ads")
    await service.set_up("SMS")
    await service.add_route("SMS", "backup")
    found = await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(TEN)))
    assert (found.kind, found.state, found.sms_capable, found.country) == ("TEN_DLC", "READY", True, "US")
    assert (found.opt_out_list, found.route, found.pool, found.two_way) == (list_of("Default"), "", "", False)
    assert not found.HasField("update_time")
    changed = await set_number(
        service, TEN, message_type=PROMOTIONAL, opt_out_list=list_of("Ads"), two_way=True, self_managed_opt_outs=True,
        route=f"{PARENT}/channels/SMS/routes/backup",
    )  # fmt: skip
    assert (changed.message_type, changed.two_way, changed.self_managed_opt_outs) == (PROMOTIONAL, True, True)
    assert changed.route.endswith("/routes/backup")
    assert changed.updated_by
    again = await set_number(service, TEN, route=f"{PARENT}/channels/SMS")
    assert again.route == f"{PARENT}/channels/SMS"
    assert again.opt_out_list == list_of("Ads")
    assert (await set_number(service, TEN, route="")).route == ""
    assert (await set_number(service, CODE, country="CA")).country == "CA"
    pages = []
    token = ""
    while True:
        page = await service.numbers.ListOriginations(
            A.ListOriginationsRequest(parent=PARENT, page_size=2, page_token=token)
        )
        pages.append([one.number for one in page.originations])
        token = page.next_page_token
        if not token:
            break
    assert pages == [[TEN, FRENCH], [CODE]]
    # What the registry says later leaves the settings alone.
    await announce(service, TEN, state="PENDING")
    assert (await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(TEN)))).two_way is True


async def test_what_a_number_cannot_be_is_refused(service: Service) -> None:
    swiss = "+41446681800"
    await announce(service, TEN, CODE)
    await announce(service, swiss, kind="LONG_CODE")
    cases: list[tuple[str, dict[str, Any], grpc.StatusCode, str]] = [
        ("+12065550777", {"two_way": True}, Code.NOT_FOUND, "ORIGINATION_NOT_FOUND"),
        (TEN, {"opt_out_list": list_of("Gone")}, Code.NOT_FOUND, "OPT_OUT_LIST_NOT_FOUND"),
        (TEN, {"opt_out_list": "projects/other/optOutLists/Default"}, Code.INVALID_ARGUMENT, "INVALID_NAME"),
        (TEN, {"route": f"{PARENT}/channels/SMS/routes/gone"}, Code.NOT_FOUND, "ROUTE_NOT_FOUND"),
        (TEN, {"route": f"{PARENT}/channels/EMAIL"}, Code.INVALID_ARGUMENT, "INVALID_NAME"),
        (TEN, {"self_managed_opt_outs": True}, Code.FAILED_PRECONDITION, "TWO_WAY_NOT_ENABLED"),
        (TEN, {"country": "CA"}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (CODE, {"country": "us"}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (TEN, {"message_type": 7}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (swiss, {"two_way": True}, Code.FAILED_PRECONDITION, "TWO_WAY_NOT_SUPPORTED_IN_COUNTRY"),
        (TEN, {}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ]
    for number, fields, code, reason in cases:
        await refused(set_number(service, number, **fields), code, reason)
    request = A.UpdateOriginationRequest(
        origination=A.Origination(name=name_of(TEN)), update_mask=field_mask_pb2.FieldMask(paths=["state", "pool"])
    )
    error = await refused(service.numbers.UpdateOrigination(request), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert len(violations_of(error)) == 2
    await set_number(service, TEN, two_way=True, self_managed_opt_outs=True)
    await refused(set_number(service, TEN, two_way=False), Code.FAILED_PRECONDITION, "TWO_WAY_NOT_ENABLED")


async def test_the_operators_file_changes_the_country_rules(start: Started, tmp_path: Any) -> None:
    path = tmp_path / "countries.json"
    path.write_text('{"version": "2026-05-01", "countries": [{"country": "CH", "two_way": true, "price_micros": 7}]}')
    service = await start(countries_file=str(path))
    await announce(service, "+41446681800", kind="LONG_CODE")
    assert (await set_number(service, "+41446681800", two_way=True)).two_way is True
    rules = await service.numbers.ListCountryRules(A.ListCountryRulesRequest())
    swiss = next(rule for rule in rules.rules if rule.country == "CH")
    assert (rules.version, swiss.price_micros, swiss.two_way) == ("2026-05-01", 7, True)
    assert swiss.sender_ids == A.SENDER_ID_SUPPORT_SUPPORTED
    assert rules.otherwise.sender_ids == A.SENDER_ID_SUPPORT_NOT_SUPPORTED
    path.write_text("{")
    with pytest.raises(StartFailed, match=r"countries\.json"):
        await start(countries_file=str(path))


# -- pools ----------------------------------------------------------------------------------------------------------


async def test_a_pool_takes_its_setup_from_its_first_number_and_changes_all_of_them(service: Service) -> None:
    await announce(service, TEN, OTHER, FREE)
    await make_list(service, "Ads")
    await set_number(service, TEN, message_type=PROMOTIONAL, opt_out_list=list_of("Ads"), two_way=True)
    await put_keyword(service, f"originations/{TEN}", "JOIN", "Welcome", A.KEYWORD_ACTION_OPT_IN)
    pool = await make_pool(service, "main", TEN, request_id="r1")
    assert (pool.message_type, pool.opt_out_list, pool.two_way) == (PROMOTIONAL, list_of("Ads"), True)
    assert list(pool.numbers) == [TEN]
    assert (await make_pool(service, "main", TEN, request_id="r1")).create_time == pool.create_time
    error = await refused(
        service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=pool.name, number=OTHER)),
        Code.FAILED_PRECONDITION,
        "MESSAGE_TYPE_MISMATCH",
    )
    assert "other keywords" in (error.details() or "")
    for fields, reason in (
        ({"message_type": PROMOTIONAL}, "OPT_OUT_LIST_MISMATCH"),
        ({"opt_out_list": list_of("Ads")}, "TWO_WAY_CONFIG_MISMATCH"),
        ({"two_way": True, "self_managed_opt_outs": True}, "SELF_MANAGED_OPT_OUTS_MISMATCH"),
        ({"self_managed_opt_outs": False}, "KEYWORD_MISMATCH"),
    ):
        await set_number(service, OTHER, **fields)
        add = service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=pool.name, number=OTHER))
        await refused(add, Code.FAILED_PRECONDITION, reason)
    await put_keyword(service, f"originations/{OTHER}", "JOIN", "Welcome", A.KEYWORD_ACTION_OPT_IN)
    for _ in range(2):
        joined = await service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=pool.name, number=OTHER))
    branded = await service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=pool.name, sender_id="Shop"))
    assert (list(joined.numbers), list(branded.sender_ids)) == ([TEN, OTHER], ["Shop"])
    # The pool decides from now on.
    for refused_call in (
        set_number(service, OTHER, two_way=False),
        put_keyword(service, f"originations/{OTHER}", "HOURS", "9 to 5"),
    ):
        await refused(refused_call, Code.FAILED_PRECONDITION, "PHONE_NUMBER_ASSOCIATED_TO_POOL")
    await service.numbers.UpdatePool(
        A.UpdatePoolRequest(
            pool=A.Pool(name=pool.name, two_way=True, self_managed_opt_outs=True, opt_out_list=list_of("Default"), shared_routes=True),
            update_mask=field_mask_pb2.FieldMask(paths=["*"]),
        )
    )  # fmt: skip
    await put_keyword(service, "pools/main", "HOURS", "9 to 5")
    for number in (TEN, OTHER):
        one = await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(number)))
        assert (one.pool, one.self_managed_opt_outs, one.opt_out_list) == (pool.name, True, list_of("Default"))
        words = await service.numbers.ListKeywords(A.ListKeywordsRequest(parent=name_of(number)))
        assert [one.name.rpartition("/")[2] for one in words.keywords] == ["HELP", "HOURS", "JOIN", "STOP"]
    # What leaves takes it along.
    left = await service.numbers.RemovePoolMember(A.RemovePoolMemberRequest(name=pool.name, number=OTHER))
    assert list(left.numbers) == [TEN]
    other = await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(OTHER)))
    assert (other.pool, other.self_managed_opt_outs, other.message_type) == ("", True, PROMOTIONAL)
    words = await service.numbers.ListKeywords(A.ListKeywordsRequest(parent=name_of(OTHER)))
    assert len(words.keywords) == 4
    last = service.numbers.RemovePoolMember(A.RemovePoolMemberRequest(name=pool.name, number=TEN))
    await refused(last, Code.FAILED_PRECONDITION, "LAST_PHONE_NUMBER")
    await service.numbers.RemovePoolMember(A.RemovePoolMemberRequest(name=pool.name, sender_id="Shop"))
    await service.numbers.DeletePool(A.DeletePoolRequest(name=pool.name))
    assert (await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(TEN)))).pool == ""
    assert not (await service.numbers.ListPools(A.ListPoolsRequest(parent=PARENT))).pools
    assert list((await make_pool(service, "main", OTHER)).numbers) == [OTHER]


async def test_what_a_pool_cannot_be_is_refused(service: Service) -> None:
    await announce(service, TEN, OTHER, FREE)
    await announce(service, "+12065550102", state="RELEASED")
    await make_pool(service, "one", TEN, request_id="r1")
    numbers, one = service.numbers, f"{PARENT}/pools/one"
    cases: list[tuple[Callable[[], Awaitable[Any]], grpc.StatusCode, str]] = [
        (lambda: make_pool(service, "one", OTHER), Code.ALREADY_EXISTS, "POOL_ALREADY_EXISTS"),
        (lambda: make_pool(service, "two", OTHER, request_id="r1"), Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (lambda: make_pool(service, "two", TEN), Code.FAILED_PRECONDITION, "RESOURCE_ALREADY_ASSOCIATED"),
        (lambda: make_pool(service, "two", "+12065550777"), Code.NOT_FOUND, "ORIGINATION_NOT_FOUND"),
        (lambda: make_pool(service, "two", "+12065550102"), Code.NOT_FOUND, "ORIGINATION_NOT_FOUND"),
        (lambda: make_pool(service, "a b", OTHER), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: make_pool(service, "x" * 65, OTHER), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: numbers.GetPool(A.GetPoolRequest(name=f"{PARENT}/pools/two")), Code.NOT_FOUND, "POOL_NOT_FOUND"),
        (lambda: numbers.DeletePool(A.DeletePoolRequest(name=f"{PARENT}/pools/two")), Code.NOT_FOUND, "POOL_NOT_FOUND"),
        (lambda: numbers.AddPoolMember(A.AddPoolMemberRequest(name=one)), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: numbers.AddPoolMember(A.AddPoolMemberRequest(name=one, number=OTHER, sender_id="Shop")),
         Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: numbers.AddPoolMember(A.AddPoolMemberRequest(name=one, sender_id="123456")), Code.INVALID_ARGUMENT,
         "INVALID_ARGUMENT"),
        (lambda: numbers.RemovePoolMember(A.RemovePoolMemberRequest(name=one, number=OTHER)), Code.FAILED_PRECONDITION,
         "PHONE_NUMBER_NOT_ASSOCIATED_TO_POOL"),
        (lambda: numbers.UpdatePool(A.UpdatePoolRequest(pool=A.Pool(name=one, self_managed_opt_outs=True),
            update_mask=field_mask_pb2.FieldMask(paths=["self_managed_opt_outs"]))), Code.FAILED_PRECONDITION,
         "TWO_WAY_NOT_ENABLED"),
        (lambda: numbers.UpdatePool(A.UpdatePoolRequest(pool=A.Pool(name=one, opt_out_list=list_of("Gone")),
            update_mask=field_mask_pb2.FieldMask(paths=["opt_out_list"]))), Code.NOT_FOUND, "OPT_OUT_LIST_NOT_FOUND"),
    ]  # fmt: skip
    for call, code, reason in cases:
        await refused(call(), code, reason)


async def test_the_last_pool_and_the_last_member_fit_and_the_next_do_not(service: Service) -> None:
    numbers = [f"+1206555{index:04d}" for index in range(MAX_POOLS + 1)]
    await announce(service, *numbers)
    for index in range(MAX_POOLS):
        await make_pool(service, f"p{index}", numbers[index])
    await refused(make_pool(service, "more", numbers[-1]), Code.FAILED_PRECONDITION, "TOO_MANY_POOLS")
    name = f"{PARENT}/pools/p0"
    for index in range(MAX_MEMBERS - 1):
        await service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=name, sender_id=f"Shop{index}"))
    add = service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=name, sender_id="More"))
    await refused(add, Code.FAILED_PRECONDITION, "POOL_FULL")
    # A sender id may be in several pools.
    other = await service.numbers.AddPoolMember(A.AddPoolMemberRequest(name=f"{PARENT}/pools/p1", sender_id="Shop0"))
    assert list(other.sender_ids) == ["Shop0"]


# -- keywords -------------------------------------------------------------------------------------------------------


async def test_keywords_are_set_listed_and_deleted_and_the_required_ones_stay(service: Service) -> None:
    await announce(service, TEN)
    owner = f"originations/{TEN}"

    async def words() -> dict[str, tuple[int, str, bool]]:
        found = await service.numbers.ListKeywords(A.ListKeywordsRequest(parent=name_of(TEN)))
        return {one.name.rpartition("/")[2]: (one.action, one.reply, one.required) for one in found.keywords}

    first = await words()
    assert list(first) == ["HELP", "STOP"]
    await put_keyword(service, owner, "STOP", "You are out.")
    await put_keyword(service, owner, "HELP", "Call +1 206 555 0199.", A.KEYWORD_ACTION_AUTOMATIC_RESPONSE)
    made = await put_keyword(service, owner, "JOIN", "Welcome", A.KEYWORD_ACTION_OPT_IN)
    assert made.name == f"{name_of(TEN)}/keywords/JOIN"
    await put_keyword(service, owner, "JOIN", "Hello")
    assert await words() == {
        "HELP": (A.KEYWORD_ACTION_AUTOMATIC_RESPONSE, "Call +1 206 555 0199.", True),
        "JOIN": (A.KEYWORD_ACTION_AUTOMATIC_RESPONSE, "Hello", False),
        "STOP": (A.KEYWORD_ACTION_OPT_OUT, "You are out.", True),
    }
    for keyword in ("STOP", "HELP", "JOIN"):
        await service.numbers.DeleteKeyword(A.DeleteKeywordRequest(name=f"{name_of(TEN)}/keywords/{keyword}"))
    assert await words() == first
    gone = service.numbers.DeleteKeyword(A.DeleteKeywordRequest(name=f"{name_of(TEN)}/keywords/STOP"))
    await refused(gone, Code.NOT_FOUND, "KEYWORD_NOT_FOUND")


async def test_what_a_keyword_cannot_be_is_refused(service: Service) -> None:
    await announce(service, TEN, FREE)
    mine, free = f"originations/{TEN}", f"originations/{FREE}"
    out, back = A.KEYWORD_ACTION_OPT_OUT, A.KEYWORD_ACTION_OPT_IN
    cases: list[tuple[str, str, str, Any, grpc.StatusCode, str]] = [
        (mine, "STOP", "x", back, Code.FAILED_PRECONDITION, "KEYWORD_FIXED"),
        (mine, "HELP", "x", out, Code.FAILED_PRECONDITION, "KEYWORD_FIXED"),
        (mine, "UNSUBSCRIBE", "x", out, Code.FAILED_PRECONDITION, "KEYWORD_FIXED"),
        (free, "STOP", "x", 0, Code.FAILED_PRECONDITION, "KEYWORD_FIXED"),
        (free, "JOIN", "x", 0, Code.FAILED_PRECONDITION, "KEYWORD_FIXED"),
        (mine, "JOIN", "", 0, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (mine, "JOIN", "x" * 1601, 0, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (mine, "A" * 31, "x", 0, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (mine, "join", "x", 0, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (mine, "JOIN", "x", 9, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        ("originations/+12065550777", "JOIN", "x", 0, Code.NOT_FOUND, "ORIGINATION_NOT_FOUND"),
        ("pools/gone", "JOIN", "x", 0, Code.NOT_FOUND, "POOL_NOT_FOUND"),
        ("campaigns/c1", "JOIN", "x", 0, Code.INVALID_ARGUMENT, "INVALID_NAME"),
    ]
    for owner, keyword, reply, action, code, reason in cases:
        await refused(put_keyword(service, owner, keyword, reply, action), code, reason)
    error = await refused(put_keyword(service, mine, "no", ""), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [field for field, _ in violations_of(error)] == ["keyword.name", "keyword.reply"]
    await put_keyword(service, mine, "A" * 30, "x" * 1600)
    free_words = await service.numbers.ListKeywords(A.ListKeywordsRequest(parent=name_of(FREE)))
    assert len(free_words.keywords) == 2


async def test_the_last_keyword_fits_and_the_next_does_not(service: Service) -> None:
    await announce(service, TEN)
    owner = f"originations/{TEN}"
    for index in range(MAX_KEYWORDS - 2):
        await put_keyword(service, owner, f"W{index}", "x")
    await refused(put_keyword(service, owner, "MORE", "x"), Code.FAILED_PRECONDITION, "TOO_MANY_KEYWORDS")
    await put_keyword(service, owner, "W0", "changed")
    await put_keyword(service, owner, "STOP", "changed")


# -- settings -------------------------------------------------------------------------------------------------------


async def test_sms_settings_are_kept_field_by_field(service: Service) -> None:
    get = A.GetSmsSettingsRequest(name=f"{PARENT}/smsSettings")
    first = await service.numbers.GetSmsSettings(get)
    assert not first.HasField("monthly_spend_limit_micros")
    assert not first.HasField("update_time")
    await set_sms(
        service, default_message_type=PROMOTIONAL, default_sender_id="Shop", monthly_spend_limit_micros=0,
        prices_micros={"US": 7_500, "FR": 0},
        registered_sender_ids=[A.SenderIdRegistration(sender_id="Shop", countries=["IN", "PH"])],
        honour_endpoint_opt_out=True,
    )  # fmt: skip
    changed = await set_sms(service, shared_routes_off=True)
    assert (changed.default_message_type, changed.default_sender_id, changed.shared_routes_off) == (
        PROMOTIONAL,
        "Shop",
        True,
    )
    assert changed.HasField("monthly_spend_limit_micros")
    assert dict(changed.prices_micros) == {"US": 7_500, "FR": 0}
    assert [list(one.countries) for one in changed.registered_sender_ids] == [["IN", "PH"]]
    unlimited = await service.numbers.UpdateSmsSettings(
        A.UpdateSmsSettingsRequest(
            sms_settings=A.SmsSettings(name=f"{PARENT}/smsSettings"),
            update_mask=field_mask_pb2.FieldMask(paths=["monthly_spend_limit_micros"]),
        )
    )
    assert not unlimited.HasField("monthly_spend_limit_micros")
    assert (await service.numbers.GetSmsSettings(get)).default_sender_id == "Shop"


async def test_bad_sms_settings_are_refused_with_every_violation(service: Service) -> None:
    error = await refused(
        set_sms(
            service, default_sender_id="no sender id", monthly_spend_limit_micros=-1,
            prices_micros={"us": 1, "FR": -1, "DE": 1_000_000_001, "IT": 1_000_000_000},
            registered_sender_ids=[A.SenderIdRegistration(sender_id="123")],
        ),
        Code.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
    )  # fmt: skip
    assert [field for field, _ in violations_of(error)] == [
        "sms_settings.default_sender_id",
        "sms_settings.monthly_spend_limit_micros",
        "sms_settings.prices_micros",
        "sms_settings.prices_micros",
        "sms_settings.prices_micros",
        "sms_settings.registered_sender_ids[0].sender_id",
        "sms_settings.registered_sender_ids[0].countries",
    ]
