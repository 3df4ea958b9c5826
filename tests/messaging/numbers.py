"""Numbers in the projection, and what is asked of them, for tests."""

from __future__ import annotations

from typing import Any

from google.protobuf import field_mask_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import contents_pb2, opt_outs_pb2, origination_pb2
from heliograph.registry10dlc.v1 import events_pb2 as registry_pb2
from heliograph_kit.ids import new_id
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from tests.messaging.conftest import PARENT, PROJECT, Service

TEN, FREE, CODE, FRENCH = "+12065550100", "+18885550100", "12345", "+33755512599"
KINDS = {TEN: "TEN_DLC", FREE: "TOLL_FREE", CODE: "SHORT_CODE", FRENCH: "LONG_CODE"}
PROMOTIONAL = contents_pb2.SMS_MESSAGE_TYPE_PROMOTIONAL
_revisions = iter(range(1, 1_000_000))


def name_of(number: str) -> str:
    return f"{PARENT}/originations/{number}"


def list_of(list_id: str) -> str:
    return f"{PARENT}/optOutLists/{list_id}"


async def announce(
    service: Service,
    *numbers: str,
    kind: str = "",
    state: str = "READY",
    project: str = PROJECT,
    sms: bool = True,
    **more: Any,
) -> None:
    """Announce numbers as the 10DLC registry does, and wait until messaging knows them; `more`: further members."""
    for number in numbers:
        members: dict[str, Any] = {
            "use_case": f"projects/{project}/useCases/u", "parts_per_second": 1_000_000, "revision": next(_revisions), **more,
        }  # fmt: skip
        change = registry_pb2.NumberUpdated(
            number=number, kind=kind or KINDS.get(number, "TEN_DLC"), state=state, sms_capable=sms, **members
        )
        await service.runtime.bus.publish(
            changes_subject("registry10dlc", project, "number_updated"),
            change.SerializeToString(),
            id=new_id(),
            type=change.DESCRIPTOR.full_name,
            project=project,
        )
        revision = members["revision"]

        async def known(number: str = number, revision: int = revision) -> bool:
            async with service.runtime.database.transaction() as conn:
                query = text("SELECT revision FROM messaging.numbers WHERE project = :project AND number = :number")
                found = await conn.execute(query, {"project": project, "number": number})
                return bool((found.scalar_one_or_none() or 0) >= revision)

        await eventually(known)


async def set_number(service: Service, number: str, **fields: Any) -> origination_pb2.Origination:
    """Change fields of a number."""
    return await service.numbers.UpdateOrigination(
        origination_pb2.UpdateOriginationRequest(
            origination=origination_pb2.Origination(name=name_of(number), **fields),
            update_mask=field_mask_pb2.FieldMask(paths=list(fields)),
        )
    )


async def set_sms(service: Service, **fields: Any) -> origination_pb2.SmsSettings:
    """Change SMS settings."""
    return await service.numbers.UpdateSmsSettings(
        origination_pb2.UpdateSmsSettingsRequest(
            sms_settings=origination_pb2.SmsSettings(name=f"{PARENT}/smsSettings", **fields),
            update_mask=field_mask_pb2.FieldMask(paths=list(fields)),
        )
    )


async def make_pool(service: Service, pool_id: str, number: str, **fields: Any) -> origination_pb2.Pool:
    """Make a pool."""
    return await service.numbers.CreatePool(
        origination_pb2.CreatePoolRequest(parent=PARENT, pool_id=pool_id, number=number, **fields)
    )


async def make_list(service: Service, list_id: str, **fields: Any) -> opt_outs_pb2.OptOutList:
    """Make an opt-out list."""
    return await service.opt_outs.CreateOptOutList(
        opt_outs_pb2.CreateOptOutListRequest(parent=PARENT, opt_out_list_id=list_id, **fields)
    )


async def opt_out(service: Service, *numbers: str, list_id: str = "Default") -> int:
    """Put numbers on an opt-out list."""
    answer = await service.opt_outs.AddOptedOutNumbers(
        opt_outs_pb2.AddOptedOutNumbersRequest(parent=list_of(list_id), numbers=numbers)
    )
    return answer.added_count


async def put_keyword(
    service: Service,
    owner: str,
    keyword: str,
    reply: str,
    action: origination_pb2.KeywordAction.ValueType = 0,  # type: ignore[assignment]
) -> origination_pb2.Keyword:
    """Set a keyword of `originations/{number}` or `pools/{pool}`."""
    return await service.numbers.PutKeyword(
        origination_pb2.PutKeywordRequest(
            keyword=origination_pb2.Keyword(name=f"{PARENT}/{owner}/keywords/{keyword}", action=action, reply=reply)
        )
    )
