"""Numbers, pools, keywords and SMS settings between protos and use cases."""

from __future__ import annotations

from heliograph.messaging.v1 import contents_pb2, origination_pb2
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, format_name, parse_name, parse_pattern
from heliograph_messaging.domain.countries import CountryRule, CountryRules
from heliograph_messaging.domain.keywords import REQUIRED, Action, Keyword
from heliograph_messaging.events import MESSAGE_TYPES
from heliograph_messaging.service.days import Today
from heliograph_messaging.service.originations import NumberChange, SetupChange
from heliograph_messaging.servicers.masks import required_mask
from heliograph_messaging.store.keywords import NUMBER, POOL, Owner
from heliograph_messaging.store.originations import StoredOrigination, StoredPool
from heliograph_messaging.store.sms_settings import StoredSmsSettings

_OF_TYPE = {name: number for number, name in MESSAGE_TYPES.items()}
_SETUP = ("message_type", "opt_out_list", "two_way", "self_managed_opt_outs")
_NUMBER_MASK = frozenset({*_SETUP, "country", "route"})
_POOL_MASK = frozenset({"opt_out_list", "two_way", "self_managed_opt_outs", "shared_routes"})
_SETTINGS_MASK = frozenset(
    {
        "default_message_type", "default_sender_id", "monthly_spend_limit_micros", "prices_micros", "shared_routes_off",
        "registered_sender_ids", "honour_endpoint_opt_out",
    }
)  # fmt: skip


def message_type_of(value: contents_pb2.SmsMessageType.ValueType, field: str) -> str:
    """Return a message type, empty for unspecified.

    Raises:
        InvalidArgument: it is none.
    """
    found = Violations()
    if value not in MESSAGE_TYPES:
        found.add(field, "is no message type", "INVALID_ARGUMENT")
    found.check()
    return MESSAGE_TYPES[value]


def origination(stored: StoredOrigination, today: Today | None = None) -> origination_pb2.Origination:
    """Return a number as it is shown."""
    settings, setup, registration = stored.settings, stored.settings.setup, stored.registration
    return origination_pb2.Origination(
        name=format_name(stored.project, "originations", stored.number),
        number=stored.number,
        kind=stored.kind,
        state=stored.state,
        sms_capable=stored.sms_capable,
        use_case=stored.use_case,
        country=stored.country,
        message_type=_OF_TYPE[setup.message_type],
        opt_out_list=format_name(stored.project, "optOutLists", setup.opt_out_list),
        two_way=setup.two_way,
        self_managed_opt_outs=setup.self_managed_opt_outs,
        route=_route_name(stored.project, settings.route),
        pool=format_name(stored.project, "pools", settings.pool) if settings.pool else "",
        update_time=timestamp(settings.update_time),
        updated_by=settings.updated_by,
        registered_message_type=_OF_TYPE.get(registration.message_type, contents_pb2.SMS_MESSAGE_TYPE_UNSPECIFIED),
        voice_capable=stored.voice_capable,
        brand=registration.brand,
        lent_by=registration.lent_by,
        used_today=today.used if today else 0,
        day_limit=today.limit if today else 0,
    )


def number_change(request: origination_pb2.UpdateOriginationRequest, project: str) -> NumberChange:
    """Return what a request changes of a number of the project."""
    mask, given = required_mask(request.update_mask, _NUMBER_MASK), request.origination
    setup = SetupChange(
        message_type_of(given.message_type, "origination.message_type") if "message_type" in mask else None,
        _list_of(given.opt_out_list, project, "origination") if "opt_out_list" in mask else None,
        given.two_way if "two_way" in mask else None,
        given.self_managed_opt_outs if "self_managed_opt_outs" in mask else None,
    )
    country = given.country if "country" in mask else None
    if "route" not in mask:
        return NumberChange(setup, country)
    if not given.route:
        return NumberChange(setup, country, any_route=True)
    return NumberChange(setup, country, _route_of(given.route, project))


def pool(stored: StoredPool) -> origination_pb2.Pool:
    """Return a pool as it is shown."""
    return origination_pb2.Pool(
        name=format_name(stored.project, "pools", stored.id),
        message_type=_OF_TYPE[stored.setup.message_type],
        opt_out_list=format_name(stored.project, "optOutLists", stored.setup.opt_out_list),
        two_way=stored.setup.two_way,
        self_managed_opt_outs=stored.setup.self_managed_opt_outs,
        shared_routes=stored.shared_routes,
        numbers=stored.numbers,
        sender_ids=stored.sender_ids,
        create_time=timestamp(stored.create_time),
        update_time=timestamp(stored.update_time),
        updated_by=stored.updated_by,
    )


def pool_change(request: origination_pb2.UpdatePoolRequest, project: str) -> tuple[SetupChange, bool | None]:
    """Return what a request changes of a pool of the project, and whether shared routes serve."""
    mask, given = required_mask(request.update_mask, _POOL_MASK), request.pool
    change = SetupChange(
        None,
        _list_of(given.opt_out_list, project, "pool") if "opt_out_list" in mask else None,
        given.two_way if "two_way" in mask else None,
        given.self_managed_opt_outs if "self_managed_opt_outs" in mask else None,
    )
    return change, given.shared_routes if "shared_routes" in mask else None


def owner_of(name: str, *, field: str = "parent") -> tuple[str, Owner]:
    """Return the project and the number or pool of a name.

    Raises:
        InvalidName: it is of neither.
    """
    kind = POOL if name.split("/")[2:3] == [POOL] else NUMBER
    parts = parse_name(name, kind, field=field)
    return parts.project, Owner(kind, parts.id)


def keyword_name(name: str, *, field: str = "name") -> tuple[str, Owner, str]:
    """Return the project, the number or pool, and the keyword of a name.

    Raises:
        InvalidName: it is not of that form.
    """
    kind = POOL if name.split("/")[2:3] == [POOL] else NUMBER
    parts = parse_pattern(name, f"projects/{{project}}/{kind}/{{owner}}/keywords/{{keyword}}", field=field)
    return parts["project"], Owner(kind, parts["owner"]), parts["keyword"]


def keyword(project: str, owner: Owner, stored: Keyword) -> origination_pb2.Keyword:
    """Return a keyword as it is shown."""
    return origination_pb2.Keyword(
        name=f"{format_name(project, owner.kind, owner.id)}/keywords/{stored.keyword}",
        action=origination_pb2.KeywordAction.Value(f"KEYWORD_ACTION_{stored.action}"),
        reply=stored.reply,
        required=stored.keyword in REQUIRED,
        source=origination_pb2.KeywordSource.Value(f"KEYWORD_SOURCE_{stored.source}"),
    )


def action_of(action: origination_pb2.KeywordAction.ValueType) -> Action | None:
    """Return an action, None for unspecified.

    Raises:
        InvalidArgument: it is none.
    """
    found = Violations()
    if action not in origination_pb2.KeywordAction.values():
        found.add("keyword.action", "is no action", "INVALID_ARGUMENT")
    found.check()
    if action == origination_pb2.KEYWORD_ACTION_UNSPECIFIED:
        return None
    return Action(origination_pb2.KeywordAction.Name(action).removeprefix("KEYWORD_ACTION_"))


def settings_project(name: str, *, field: str = "name") -> str:
    """Return the project of the name of SMS settings.

    Raises:
        InvalidName: it is not of that form.
    """
    return parse_pattern(name, "projects/{project}/smsSettings", field=field)["project"]


def sms_settings(project: str, stored: StoredSmsSettings, spent: int) -> origination_pb2.SmsSettings:
    """Return SMS settings as they are shown."""
    return origination_pb2.SmsSettings(
        name=f"projects/{project}/smsSettings",
        default_message_type=_OF_TYPE[stored.default_message_type],
        default_sender_id=stored.default_sender_id,
        monthly_spend_limit_micros=stored.monthly_spend_limit,
        prices_micros=dict(stored.prices),
        shared_routes_off=stored.shared_routes_off,
        registered_sender_ids=[
            origination_pb2.SenderIdRegistration(sender_id=sender_id, countries=countries)
            for sender_id, countries in sorted(stored.registered_sender_ids.items())
        ],
        honour_endpoint_opt_out=stored.honour_endpoint_opt_out,
        month_spend_micros=spent,
        update_time=timestamp(stored.update_time),
        updated_by=stored.updated_by,
    )


def settings_change(request: origination_pb2.UpdateSmsSettingsRequest) -> dict[str, object]:
    """Return what a request changes of SMS settings, by the names of the use case."""
    given = request.sms_settings
    limit = given.monthly_spend_limit_micros if given.HasField("monthly_spend_limit_micros") else None
    registered: dict[str, list[str]] = {}
    for one in given.registered_sender_ids:
        registered.setdefault(one.sender_id, []).extend(one.countries)
    values: dict[str, tuple[str, object]] = {
        "default_message_type": (
            "default_message_type",
            message_type_of(given.default_message_type, "sms_settings.default_message_type"),
        ),
        "default_sender_id": ("default_sender_id", given.default_sender_id),
        "monthly_spend_limit_micros": ("monthly_spend_limit", limit),
        "prices_micros": ("prices", dict(given.prices_micros)),
        "shared_routes_off": ("shared_routes_off", given.shared_routes_off),
        "registered_sender_ids": ("registered_sender_ids", registered),
        "honour_endpoint_opt_out": ("honour_endpoint_opt_out", given.honour_endpoint_opt_out),
    }
    return dict(values[path] for path in required_mask(request.update_mask, _SETTINGS_MASK))


def country_rules(rules: CountryRules) -> origination_pb2.ListCountryRulesResponse:
    """Return the country rules as they are shown."""
    return origination_pb2.ListCountryRulesResponse(
        version=rules.version,
        rules=[_rule(country, rule) for country, rule in sorted(rules.rules.items())],
        otherwise=_rule("", rules.otherwise),
    )


def _rule(country: str, rule: CountryRule) -> origination_pb2.CountryRule:
    return origination_pb2.CountryRule(
        country=country,
        sender_ids=origination_pb2.SenderIdSupport.Value(f"SENDER_ID_SUPPORT_{rule.sender_ids}"),
        two_way=rule.two_way,
        price_micros=rule.price_micros,
    )


def _list_of(name: str, project: str, under: str) -> str:
    field = f"{under}.opt_out_list"
    parts = parse_name(name, "optOutLists", field=field)
    if parts.project != project:
        raise InvalidName(field, f"projects/{project}/optOutLists/{{list}}")
    return parts.id


def _route_name(project: str, route: str | None) -> str:
    if route is None:
        return ""
    channel = format_name(project, "channels", "SMS")
    return f"{channel}/routes/{route}" if route else channel


def _route_of(name: str, project: str) -> str:
    channel = format_name(project, "channels", "SMS")
    if name == channel:
        return ""
    route = name.removeprefix(f"{channel}/routes/")
    if route == name or "/" in route or not route:
        raise InvalidName("origination.route", f"{channel} or {channel}/routes/{{route}}")
    return route
