"""gRPC face of numbers, pools, keywords and SMS settings."""

from __future__ import annotations

from typing import Any

from heliograph.messaging.v1 import origination_pb2, origination_pb2_grpc
from heliograph_kit.names import parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.service.days import Days
from heliograph_messaging.service.keywords import Keywords
from heliograph_messaging.service.originations import Originations
from heliograph_messaging.service.pools import Pools
from heliograph_messaging.service.sms_settings import SmsSettings
from heliograph_messaging.servicers import origination_protos as protos
from heliograph_messaging.servicers.callers import caller


class OriginationServicer(origination_pb2_grpc.OriginationServiceServicer):
    """gRPC face of numbers, pools, keywords and SMS settings."""

    def __init__(
        self, originations: Originations, days: Days, pools: Pools, keywords: Keywords, settings: SmsSettings
    ) -> None:
        """Take the use cases."""
        self._originations = originations
        self._days = days
        self._pools = pools
        self._keywords = keywords
        self._settings = settings

    async def ListOriginations(
        self, request: origination_pb2.ListOriginationsRequest, context: Any
    ) -> origination_pb2.ListOriginationsResponse:
        """Return a page of numbers."""
        project = project_of(request.parent, field="parent")
        call = f"ListOriginations {project}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found = await self._originations.page(project, after=after, size=page.size + 1)
        token = next_token(call, [found[page.size - 1].number]) if len(found) > page.size else ""
        return origination_pb2.ListOriginationsResponse(
            originations=[protos.origination(one) for one in found[: page.size]], next_page_token=token
        )

    async def GetOrigination(
        self, request: origination_pb2.GetOriginationRequest, context: Any
    ) -> origination_pb2.Origination:
        """Return a number, with what was sent of its day."""
        name = parse_name(request.name, "originations")
        found = await self._originations.get(name.project, name.id)
        return protos.origination(found, await self._days.today(found))

    async def UpdateOrigination(
        self, request: origination_pb2.UpdateOriginationRequest, context: Any
    ) -> origination_pb2.Origination:
        """Change what messaging does with a number."""
        name = parse_name(request.origination.name, "originations", field="origination.name")
        change = protos.number_change(request, name.project)
        return protos.origination(await self._originations.update(name.project, name.id, change, by=caller()))

    async def CreatePool(self, request: origination_pb2.CreatePoolRequest, context: Any) -> origination_pb2.Pool:
        """Make a pool with its first number."""
        pool = await self._pools.create(
            project_of(request.parent, field="parent"),
            request.pool_id,
            request.number,
            shared_routes=request.shared_routes,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
            by=caller(),
        )
        return protos.pool(pool)

    async def GetPool(self, request: origination_pb2.GetPoolRequest, context: Any) -> origination_pb2.Pool:
        """Return a pool."""
        name = parse_name(request.name, "pools")
        return protos.pool(await self._pools.get(name.project, name.id))

    async def ListPools(
        self, request: origination_pb2.ListPoolsRequest, context: Any
    ) -> origination_pb2.ListPoolsResponse:
        """Return all pools."""
        found = await self._pools.list(project_of(request.parent, field="parent"))
        return origination_pb2.ListPoolsResponse(pools=[protos.pool(pool) for pool in found])

    async def UpdatePool(self, request: origination_pb2.UpdatePoolRequest, context: Any) -> origination_pb2.Pool:
        """Change a pool."""
        name = parse_name(request.pool.name, "pools", field="pool.name")
        change, shared_routes = protos.pool_change(request, name.project)
        return protos.pool(await self._pools.update(name.project, name.id, change, shared_routes, by=caller()))

    async def DeletePool(self, request: origination_pb2.DeletePoolRequest, context: Any) -> origination_pb2.Pool:
        """Delete a pool."""
        name = parse_name(request.name, "pools")
        return protos.pool(await self._pools.delete(name.project, name.id))

    async def AddPoolMember(self, request: origination_pb2.AddPoolMemberRequest, context: Any) -> origination_pb2.Pool:
        """Put a number or a sender id into a pool."""
        name = parse_name(request.name, "pools")
        return protos.pool(
            await self._pools.add_member(
                name.project, name.id, number=request.number, sender_id=request.sender_id, by=caller()
            )
        )

    async def RemovePoolMember(
        self, request: origination_pb2.RemovePoolMemberRequest, context: Any
    ) -> origination_pb2.Pool:
        """Take a number or a sender id out of a pool."""
        name = parse_name(request.name, "pools")
        return protos.pool(
            await self._pools.remove_member(
                name.project, name.id, number=request.number, sender_id=request.sender_id, by=caller()
            )
        )

    async def PutKeyword(self, request: origination_pb2.PutKeywordRequest, context: Any) -> origination_pb2.Keyword:
        """Set a keyword."""
        project, owner, keyword = protos.keyword_name(request.keyword.name, field="keyword.name")
        action = protos.action_of(request.keyword.action)
        put = await self._keywords.put(project, owner, keyword, action, request.keyword.reply)
        return protos.keyword(project, owner, put)

    async def DeleteKeyword(
        self, request: origination_pb2.DeleteKeywordRequest, context: Any
    ) -> origination_pb2.Keyword:
        """Delete a keyword."""
        project, owner, keyword = protos.keyword_name(request.name)
        return protos.keyword(project, owner, await self._keywords.delete(project, owner, keyword))

    async def ListKeywords(
        self, request: origination_pb2.ListKeywordsRequest, context: Any
    ) -> origination_pb2.ListKeywordsResponse:
        """Return the keywords of a number or a pool."""
        project, owner = protos.owner_of(request.parent)
        found = await self._keywords.list(project, owner)
        return origination_pb2.ListKeywordsResponse(keywords=[protos.keyword(project, owner, one) for one in found])

    async def GetSmsSettings(
        self, request: origination_pb2.GetSmsSettingsRequest, context: Any
    ) -> origination_pb2.SmsSettings:
        """Return what holds for all SMS of a project."""
        project = protos.settings_project(request.name)
        return protos.sms_settings(project, *(await self._settings.get(project)))

    async def UpdateSmsSettings(
        self, request: origination_pb2.UpdateSmsSettingsRequest, context: Any
    ) -> origination_pb2.SmsSettings:
        """Change what holds for all SMS of a project."""
        project = protos.settings_project(request.sms_settings.name, field="sms_settings.name")
        change = protos.settings_change(request)
        return protos.sms_settings(project, *(await self._settings.update(project, change, by=caller())))

    async def ListCountryRules(
        self, request: origination_pb2.ListCountryRulesRequest, context: Any
    ) -> origination_pb2.ListCountryRulesResponse:
        """Return the country rules."""
        return protos.country_rules(self._originations.rules)
