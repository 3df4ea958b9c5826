"""Who is calling: API keys of people and programs, short-lived tokens of our own services."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol

import grpc
import jwt

from heliograph.common.v1 import access_pb2
from heliograph.projects.v1 import access_pb2 as projects_access_pb2
from heliograph.projects.v1 import access_pb2_grpc as projects_access_pb2_grpc
from heliograph_kit.deadline import without_deadline
from heliograph_kit.errors import PermissionDenied, Unauthenticated, Unavailable
from heliograph_kit.names import project_of

KEY_PREFIX = "hg_"
_KEY = re.compile(r"hg_[0-9A-Za-z]{1,64}_[0-9A-Za-z_-]{16,256}")
_AUDIENCE = "heliograph-internal"
_LIFETIME = timedelta(minutes=5)
_LEEWAY = timedelta(seconds=30)


class Role(StrEnum):
    """What a key may do."""

    ADMIN = "ADMIN"
    EDITOR = "EDITOR"
    SENDER = "SENDER"
    INGEST = "INGEST"
    VIEWER = "VIEWER"

    @property
    def includes(self) -> frozenset[Role]:
        """The role itself and every role it includes."""
        return _INCLUDES[self]


_INCLUDES: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset(Role),
    Role.EDITOR: frozenset({Role.EDITOR, Role.SENDER, Role.INGEST, Role.VIEWER}),
    Role.SENDER: frozenset({Role.SENDER, Role.VIEWER}),
    Role.INGEST: frozenset({Role.INGEST}),
    Role.VIEWER: frozenset({Role.VIEWER}),
}


@dataclass(frozen=True)
class Principal:
    """Who is calling. `projects` are project ids; None means every project of the installation."""

    kind: Literal["key", "service"]
    id: str
    roles: frozenset[Role]
    projects: frozenset[str] | None

    def has(self, role: Role) -> bool:
        """Tell whether one of the roles is or includes the given one."""
        return any(role in held.includes for held in self.roles)

    def may_touch(self, project: str) -> bool:
        """Tell whether the scope includes a project id."""
        return self.projects is None or project in self.projects


class KeyMissing(Unauthenticated):
    """The call carries no key."""

    reason = "KEY_MISSING"

    def __init__(self) -> None:
        """Say how a key is sent."""
        super().__init__("send an API key in the metadata `authorization: Bearer hg_...`")


class KeyInvalid(Unauthenticated):
    """The key is unknown, its secret is wrong, or an internal token is forged or out of date."""

    reason = "KEY_INVALID"

    def __init__(self) -> None:
        """Say the same for every cause, so that nothing can be learnt by trying."""
        super().__init__("this key is not known")


class KeyRevoked(Unauthenticated):
    """The key was revoked."""

    reason = "KEY_REVOKED"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("this key was revoked; use another one")


class RoleNotAllowed(PermissionDenied):
    """The key's roles or the breadth of its scope do not allow the method."""

    reason = "ROLE_NOT_ALLOWED"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("this key's roles and scope do not allow this method; use a key that has them")


class ProjectNotAllowed(PermissionDenied):
    """The key's scope does not include the project; the same whether the project exists or not."""

    reason = "PROJECT_NOT_ALLOWED"

    def __init__(self) -> None:
        """Say nothing about the project."""
        super().__init__("this key's scope does not include the project; use a key that does")


_current: ContextVar[Principal] = ContextVar("heliograph_principal")


def current_principal() -> Principal:
    """Return who is calling, inside of an RPC handler.

    Raises:
        KeyMissing: there is nobody, as in a public method or outside of a call.
    """
    try:
        return _current.get()
    except LookupError:
        raise KeyMissing() from None


def act_as(principal: Principal) -> None:
    """Make a principal the current one for the rest of the running task; the server does this for each call."""
    _current.set(principal)


class Authenticator(Protocol):
    """Knows API keys."""

    async def authenticate(self, key: str) -> Principal:
        """Return whose key it is.

        Raises:
            KeyInvalid, KeyRevoked: nobody's, or nobody's any more.
            Unavailable: it cannot be looked up now.
        """
        ...


class InternalTokens:
    """Issues and checks the tokens by which services of one installation know each other.

    HS256 with the shared secret, five minutes at most, for the machine's real time also when the product's clock is
    hurried.
    """

    def __init__(self, secret: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Take the shared secret and the real time.

        Raises:
            ValueError: the secret is shorter than 32 characters.
        """
        if len(secret) < 32:
            raise ValueError("the internal secret needs at least 32 characters")
        self._secret = secret
        self._now = now
        self._issued: dict[str, tuple[datetime, str]] = {}

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return "InternalTokens()"

    def issue(self, service: str) -> str:
        """Return a token for a service; the same one again while it is good for another minute."""
        now = self._now()
        good_until, token = self._issued.get(service, (now, ""))
        if good_until - now > timedelta(minutes=1):
            return token
        expires = now + _LIFETIME
        token = jwt.encode(
            {"sub": service, "aud": _AUDIENCE, "iat": int(now.timestamp()), "exp": int(expires.timestamp())},
            self._secret,
            algorithm="HS256",
        )
        self._issued[service] = (expires, token)
        return token

    def verify(self, token: str) -> Principal:
        """Return the service a token belongs to.

        Raises:
            KeyInvalid: forged, for another audience, of another algorithm, expired, or made to live too long.
        """
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=_AUDIENCE,
                # Times are checked below against our own `now`.
                options={"require": ["sub", "aud", "iat", "exp"], "verify_exp": False, "verify_iat": False},
            )
            issued, expires = float(claims["iat"]), float(claims["exp"])
        except (jwt.InvalidTokenError, TypeError, ValueError):
            raise KeyInvalid() from None
        now, leeway = self._now().timestamp(), _LEEWAY.total_seconds()
        too_long = expires - issued > _LIFETIME.total_seconds()
        if too_long or now > expires + leeway or issued > now + leeway or not claims["sub"]:
            raise KeyInvalid()
        return Principal("service", str(claims["sub"]), frozenset(Role), None)


class Bearer:
    """Tells API keys (`hg_...`) from internal tokens and has each checked by whoever knows it."""

    def __init__(self, tokens: InternalTokens, authenticator: Authenticator) -> None:
        """Take both."""
        self._tokens = tokens
        self._authenticator = authenticator

    async def authenticate(self, token: str) -> Principal:
        """Return who is calling.

        Raises:
            KeyInvalid, KeyRevoked, Unavailable: see `Authenticator`.
        """
        if token.startswith(KEY_PREFIX):
            return await self._authenticator.authenticate(token)
        return self._tokens.verify(token)


_Answer = Principal | KeyInvalid | KeyRevoked


class KeyAuthenticator:
    """Asks the service projects whose key it is and remembers the answer for a moment.

    A revoked key therefore works for `good_for` at most; nothing is served from memory beyond that, even while projects
    is away.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        good_for: timedelta = timedelta(seconds=5),
        bad_for: timedelta = timedelta(seconds=1),
        remembered: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a channel to projects that carries an internal token; `remembered` bounds the memory, in keys."""
        self._access = projects_access_pb2_grpc.AccessServiceStub(channel)
        self._good_for = good_for.total_seconds()
        self._bad_for = bad_for.total_seconds()
        self._remembered = remembered
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, tuple[float, _Answer]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Principal]] = {}

    async def authenticate(self, key: str) -> Principal:
        """Return whose key it is; many calls with one key at once ask once.

        Raises:
            KeyInvalid, KeyRevoked: as projects says.
            Unavailable: projects cannot be asked.
        """
        if not _KEY.fullmatch(key):
            raise KeyInvalid()
        digest = hashlib.sha256(key.encode()).digest()  # keys themselves are not kept in memory
        known = self._known.get(digest)
        if known is not None and self._monotonic() < known[0]:
            if isinstance(known[1], Principal):
                return known[1]
            raise type(known[1])()  # a new one: an exception gathers the traceback of everybody who raises it
        task = self._asking.get(digest)
        if task is None:
            # Without the deadline of the call that happens to ask first: others wait for the same answer.
            task = asyncio.create_task(self._ask(digest, key), context=without_deadline())
            self._asking[digest] = task
            task.add_done_callback(lambda done: self._forget_asking(digest, done))
        # Shielded: one caller that hangs up must not take the answer from the others.
        return await asyncio.shield(task)

    def _forget_asking(self, digest: bytes, done: asyncio.Task[Principal]) -> None:
        self._asking.pop(digest, None)
        if not done.cancelled():
            done.exception()  # looked at, in case every caller has hung up

    async def _ask(self, digest: bytes, key: str) -> Principal:
        try:
            answer = await self._access.Authenticate(projects_access_pb2.AuthenticateRequest(token=key))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise Unavailable("keys cannot be checked now; try again in a moment", dependency="projects") from error
            # Imported here: the package rpc imports this module.
            from heliograph_kit.rpc.answers import reason_of

            refusal = KeyRevoked() if reason_of(error) == KeyRevoked.reason else KeyInvalid()
            self._remember(digest, self._bad_for, refusal)
            raise refusal from None
        principal = principal_of(answer.api_key)
        self._remember(digest, self._good_for, principal)
        return principal

    def _remember(self, digest: bytes, seconds: float, answer: _Answer) -> None:
        self._known[digest] = (self._monotonic() + seconds, answer)
        self._known.move_to_end(digest)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)


def principal_of(key: projects_access_pb2.ApiKey) -> Principal:
    """Return the principal an API key stands for; roles this version does not know give nothing."""
    roles = {access_pb2.Role.Name(number).removeprefix("ROLE_") for number in key.roles}
    projects = None if key.all_projects else frozenset(project_of(name) for name in key.projects)
    return Principal(
        "key",
        key.name.removeprefix("apiKeys/"),
        frozenset(role for role in Role if role.value in roles),
        projects,
    )
