"""How the projects service knows API keys itself: from its own tables, without a call to anybody."""

from __future__ import annotations

from heliograph_kit.auth import Principal, Role
from heliograph_projects.access import Access
from heliograph_projects.domain import ApiKey


class OwnAuthenticator:
    """Checks keys in the database at every call: a key revoked here is refused here at once."""

    def __init__(self, access: Access) -> None:
        """Take the use cases over keys."""
        self._access = access

    async def authenticate(self, key: str) -> Principal:
        """Return whose key it is.

        Raises:
            KeyInvalid, KeyRevoked: nobody's, or nobody's any more.
        """
        return principal(await self._access.authenticate(key))


def principal(key: ApiKey) -> Principal:
    """Return who a key stands for."""
    roles = frozenset(Role(role.value) for role in key.roles)
    return Principal("key", key.id, roles, None if key.all_projects else frozenset(key.projects))
