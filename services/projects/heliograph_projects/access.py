"""The use cases over API keys: create, list, revoke, tell whose key it is, and the first key of an installation."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.auth import KeyInvalid, KeyRevoked
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violations
from heliograph_kit.paging import next_token, page_of
from heliograph_projects.domain import ApiKey, ApiKeyDraft, KeyRole, Token, check_request_id, parse_token
from heliograph_projects.errors import ApiKeyNotFound, KeyCreatedBefore, LastAdminKey
from heliograph_projects.store import Actor, Asked, AuditLog, KeyStore, Position, ProjectStore, RequestStore

BOOTSTRAP = Actor("service", "bootstrap")


class Access:
    """Manages keys and checks tokens."""

    def __init__(
        self, database: Database, clock: Clock, new_id: Callable[[], str], new_secret: Callable[[], str]
    ) -> None:
        """Take what every use case needs; `new_secret` returns 256 random bits as 64 hexadecimal digits."""
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._new_secret = new_secret
        self._keys = KeyStore()
        self._projects = ProjectStore()
        self._requests = RequestStore()
        self._audit = AuditLog()

    async def create(self, draft: ApiKeyDraft, asked: Asked) -> tuple[ApiKey, str]:
        """Store a key and return it with its token, which is not kept.

        Raises:
            InvalidArgument: with everything that is wrong, projects that do not exist included.
            KeyCreatedBefore: the same request made a key before.
            RequestIdReused: the request id came before with other content.
        """
        violations = Violations()
        draft.check(violations.add)
        check_request_id(asked.request_id, violations.add)

        async def work(conn: AsyncConnection) -> tuple[ApiKey, str]:
            now = self._clock.now()
            if asked.request_id and not violations:
                done = await self._requests.claim(conn, asked, now)
                if done is not None:
                    if done.fingerprint != asked.fingerprint:
                        raise RequestIdReused(asked.request_id)
                    raise KeyCreatedBefore(str(done.answer["name"]))
            everything = Violations()
            everything.extend(violations.found)
            await self._check_projects(conn, draft, everything)
            everything.check()
            key = draft.finish(self._new_id(), now)
            token = Token(key.id, self._new_secret())
            await self._keys.add(conn, key, token.secret_hash)
            if asked.request_id:
                await self._requests.answer(conn, asked, {"name": key.name})
            await self._audit.add(conn, now, asked.caller, "create_api_key", key.name, _told(key))
            return key, token.text()

        return await self._database.run(work)

    async def page(self, size: int, token: str) -> tuple[list[ApiKey], str]:
        """Return a page of keys, newest first, revoked ones included, and the token of the next page.

        Raises:
            InvalidArgument: the size is negative or the token is not of this list.
        """
        page = page_of("ListApiKeys", size, token)
        async with self._database.transaction() as conn:
            rows = await self._keys.page(conn, Position.read(page.after), page.size + 1)
        shown = rows[: page.size]
        return shown, next_token("ListApiKeys", Position.of(shown[-1])) if len(rows) > page.size else ""

    async def revoke(self, key_id: str, actor: Actor) -> ApiKey:
        """Revoke a key. Safe to repeat: the first revocation stays, and only it is in the audit log.

        Raises:
            ApiKeyNotFound: there is no such key.
            LastAdminKey: nobody could manage keys afterwards.
        """

        async def work(conn: AsyncConnection) -> ApiKey:
            # Two admins revoking each other's key at once must not both see the other one as still there.
            await self._keys.lock(conn)
            found = await self._keys.get(conn, key_id)
            if found is None:
                raise ApiKeyNotFound(f"apiKeys/{key_id}")
            key = found[0]
            if key.revoke_time is not None:
                return key
            if key.manages_keys and await self._keys.managers(conn) == {key.id}:
                raise LastAdminKey(key.name)
            now = self._clock.now()
            await self._keys.revoke(conn, key.id, now)
            await self._audit.add(conn, now, actor, "revoke_api_key", key.name, _told(key))
            return key.revoked(now)

        return await self._database.run(work)

    async def authenticate(self, text: str) -> ApiKey:
        """Return the key a bearer token belongs to.

        Raises:
            KeyInvalid: the token is malformed, its key is unknown or its secret is wrong; alike in all three.
            KeyRevoked: the token is right and its key was revoked.
        """
        token = parse_token(text)
        if token is None:
            raise KeyInvalid
        async with self._database.transaction() as conn:
            found = await self._keys.get(conn, token.key)
        if not token.proves(found[1] if found else None) or found is None:
            raise KeyInvalid
        if found[0].revoke_time is not None:
            raise KeyRevoked
        return found[0]

    async def bootstrap(self, text: str) -> ApiKey | None:
        """Store the first key of an installation; None when there was a key before. Safe at every start of every copy.

        Raises:
            ValueError: the text is no token.
        """
        token = parse_token(text)
        if token is None:
            raise ValueError("the bootstrap key must have the form hg_{id}_{secret}")
        draft = ApiKeyDraft("bootstrap", (KeyRole.ADMIN,), all_projects=True)

        async def work(conn: AsyncConnection) -> ApiKey | None:
            await self._keys.lock(conn)
            if await self._keys.any(conn):
                return None
            now = self._clock.now()
            key = draft.finish(token.key, now)
            await self._keys.add(conn, key, token.secret_hash)
            await self._audit.add(conn, now, BOOTSTRAP, "create_api_key", key.name, _told(key))
            return key

        return await self._database.run(work)

    async def _check_projects(self, conn: AsyncConnection, draft: ApiKeyDraft, violations: Violations) -> None:
        known = await self._projects.existing(conn, draft.projects) if draft.projects else set()
        for index, project in enumerate(draft.projects):
            if project not in known:
                violations.add(f"api_key.projects[{index}]", "name a project that exists", "PROJECT_NOT_FOUND")


def _told(key: ApiKey) -> dict[str, object]:
    return {
        "display_name": key.display_name,
        "roles": [role.value for role in key.roles],
        "projects": list(key.projects),
        "all_projects": key.all_projects,
    }
