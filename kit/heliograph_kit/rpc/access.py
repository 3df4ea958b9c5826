"""Who may call which method: read from the option `heliograph.common.v1.access`, checked on every message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from heliograph.common.v1 import access_pb2
from heliograph_kit.auth import (
    KeyInvalid,
    KeyMissing,
    Principal,
    ProjectNotAllowed,
    Role,
    RoleNotAllowed,
)
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.names import project_of

_ROLES: Mapping[int, Role] = {
    access_pb2.ROLE_ADMIN: Role.ADMIN,
    access_pb2.ROLE_EDITOR: Role.EDITOR,
    access_pb2.ROLE_SENDER: Role.SENDER,
    access_pb2.ROLE_INGEST: Role.INGEST,
    access_pb2.ROLE_VIEWER: Role.VIEWER,
}
_SPECIAL = frozenset({access_pb2.ROLE_INTERNAL, access_pb2.ROLE_ANY_KEY, access_pb2.ROLE_PUBLIC})


class MissingAccessRule(Exception):
    """A service cannot start: methods without a usable access rule. Deny by default means not to serve at all."""


class BearerCheck(Protocol):
    """Turns the token of a call into who is calling."""

    async def authenticate(self, token: str) -> Principal:
        """Return the principal.

        Raises:
            Unauthenticated: the token is no good.
        """
        ...


@dataclass(frozen=True)
class Rule:
    """The access rule of one method, checked against its descriptor."""

    method: str
    role: int
    project_path: tuple[str, ...]

    @property
    def public(self) -> bool:
        """Whether everybody may call, without a key."""
        return self.role == access_pb2.ROLE_PUBLIC


def rules_of(service: str) -> dict[str, Rule]:
    """Return the rules of all methods of a service by `/package.Service/Method`.

    Args:
        service: full name, as in `heliograph.segments.v1.SegmentService`.

    Raises:
        MissingAccessRule: a method has no rule, an unknown role or a project field that its request does not have.
    """
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    rules, problems = {}, []
    for method in descriptor.methods:
        try:
            rules[f"/{service}/{method.name}"] = _rule_of(method)
        except ValueError as problem:
            problems.append(f"{service}.{method.name}: {problem}")
    if problems:
        raise MissingAccessRule("; ".join(problems))
    return rules


def _rule_of(method: MethodDescriptor) -> Rule:
    options = method.GetOptions()
    if not options.HasExtension(access_pb2.access):
        raise ValueError("has no option heliograph.common.v1.access")
    rule = options.Extensions[access_pb2.access]
    if rule.role not in _ROLES and rule.role not in _SPECIAL:
        raise ValueError("has no role in its access rule")
    path = tuple(rule.project_field.split(".")) if rule.project_field else ()
    _check_path(method.input_type, path)
    if path and rule.role == access_pb2.ROLE_PUBLIC:
        raise ValueError("is public and cannot be bound to a project")
    return Rule(method.full_name, rule.role, path)


def _check_path(message: Descriptor, path: tuple[str, ...]) -> None:
    current: Descriptor | None = message
    for position, name in enumerate(path):
        if current is None or name not in current.fields_by_name:
            raise ValueError(f"project_field {'.'.join(path)} is not in {message.full_name}")
        found = current.fields_by_name[name]
        current = found.message_type
        if position == len(path) - 1 and found.type != FieldDescriptor.TYPE_STRING:
            raise ValueError(f"project_field {'.'.join(path)} is not a string")


@dataclass
class Admission:
    """One call that was let in; looks at each of its messages."""

    rule: Rule
    principal: Principal | None
    _project: str | None = field(default=None, init=False)

    def check(self, request: Message) -> None:
        """Let a message pass; the first one of a stream fixes the project of the whole stream.

        Raises:
            InvalidName: the project field does not begin with `projects/{project}`.
            ProjectNotAllowed: the caller's scope does not include the project.
            InvalidArgument: a later message of a stream names another project than the first.
        """
        if not self.rule.project_path or self.principal is None:
            return
        path = ".".join(self.rule.project_path)
        for value in _values(request, self.rule.project_path):
            if not value and self._project is not None:
                continue  # later messages of a stream need not repeat the name
            project = project_of(value, field=path)
            if not self.principal.may_touch(project):
                raise ProjectNotAllowed()
            if self._project is None:
                self._project = project
            elif project != self._project:
                raise InvalidArgument(
                    [Violation(path, "must name the same project everywhere in one call", "INVALID_NAME")]
                )


def _values(message: Message, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the strings at a path; a repeated field on the way gives one for each of its elements."""
    name, rest = path[0], path[1:]
    value = getattr(message, name)
    repeated = message.DESCRIPTOR.fields_by_name[name].is_repeated
    if repeated and not value:
        yield ""
    for element in value if repeated else (value,):
        if rest:
            yield from _values(element, rest)
        else:
            yield element


class AccessGuard:
    """Knows the rule of every method served and lets calls in or refuses them."""

    def __init__(self, bearer: BearerCheck) -> None:
        """Take what turns tokens into principals."""
        self._bearer = bearer
        self._rules: dict[str, Rule] = {}

    def protect(self, service: str) -> None:
        """Read the rules of a service.

        Raises:
            MissingAccessRule: see `rules_of`.
        """
        self._rules.update(rules_of(service))

    async def admit(self, method: str, metadata: Mapping[str, str]) -> Admission:
        """Let a call in by its method and its `authorization` header, before anything of it is decoded.

        Raises:
            KeyMissing, KeyInvalid, KeyRevoked: we do not know who is calling.
            RoleNotAllowed: the caller's roles do not include what the method needs, or the method is not bound to a
                project and the caller's scope is not all projects.
        """
        rule = self._rules.get(method)
        if rule is None:
            # Registered around us, and not known to be harmless: nobody may call it.
            raise RoleNotAllowed()
        if rule.public:
            return Admission(rule, None)
        principal = await self._bearer.authenticate(bearer_token(metadata))
        if not allowed(rule, principal):
            raise RoleNotAllowed()
        return Admission(rule, principal)


def allowed(rule: Rule, principal: Principal) -> bool:
    """Tell whether the roles and the breadth of a principal's scope suffice for a method."""
    if principal.kind == "service":
        return True
    if rule.role == access_pb2.ROLE_ANY_KEY:
        return True
    needed = _ROLES.get(rule.role)
    if needed is None or not principal.has(needed):
        return False
    return bool(rule.project_path) or principal.projects is None


def bearer_token(metadata: Mapping[str, str]) -> str:
    """Return the token of an `authorization: Bearer <token>` header.

    Raises:
        KeyMissing: there is no such header.
        KeyInvalid: the header is of another scheme.
    """
    header = metadata.get("authorization", "")
    if not header:
        raise KeyMissing()
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise KeyInvalid()
    return token.strip()
