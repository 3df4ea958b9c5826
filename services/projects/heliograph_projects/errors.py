"""What can go wrong in the projects service; reasons 100 to 199 of `heliograph.common.v1.ErrorReason`."""

from __future__ import annotations

from heliograph_kit.errors import AlreadyExists, FailedPrecondition, NotFound


class ProjectNotFound(NotFound):
    """There is no such project, or not any more."""

    reason = "PROJECT_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the resource name asked for."""
        super().__init__("there is no such project", resource_type="project", resource=name)


class ProjectExists(AlreadyExists):
    """The id was given before; ids of deleted projects are not given again, because keys may still name them."""

    reason = "PROJECT_EXISTS"

    def __init__(self, name: str) -> None:
        """Take the resource name that is taken."""
        super().__init__("a project has or had this id; choose another one", resource_type="project", resource=name)


class ApiKeyNotFound(NotFound):
    """There is no such key."""

    reason = "API_KEY_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the resource name asked for."""
        super().__init__("there is no such key", resource_type="api_key", resource=name)


class KeyCreatedBefore(AlreadyExists):
    """The same request made a key before; its secret was told once and is not kept."""

    reason = "API_KEY_EXISTS"

    def __init__(self, name: str) -> None:
        """Take the name of the key made then, so that it can be revoked when its secret is lost."""
        super().__init__(
            "this request made a key before, and its secret is told only once; revoke that key and ask with a new "
            "request_id if the secret is lost",
            resource_type="api_key",
            resource=name,
        )


class LastAdminKey(FailedPrecondition):
    """Without this key nobody could manage keys any more."""

    reason = "LAST_ADMIN_KEY"

    def __init__(self, name: str) -> None:
        """Take the name of the key."""
        super().__init__("this is the last key that may manage keys; create another one first", subject=name)
