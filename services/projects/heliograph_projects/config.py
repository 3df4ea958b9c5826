"""Settings of the projects service, read from HELIOGRAPH_PROJECTS_<FIELD> or HELIOGRAPH_<FIELD>."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from heliograph_kit.settings import ServiceSettings
from heliograph_projects.domain import parse_token


class ProjectsSettings(ServiceSettings):
    """Everything the projects service is told from outside."""

    service: ClassVar[str] = "projects"

    bootstrap_key: SecretStr | None = Field(
        default=None,
        description="The first key of an installation, as hg_{32 hex digits}_{32 to 128 of A-Z a-z 0-9 _ -}. Stored at "
        "start with the role ADMIN on all projects if there is no key yet; without effect afterwards.",
    )

    @field_validator("bootstrap_key")
    @classmethod
    def _has_the_form_of_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and parse_token(value.get_secret_value()) is None:
            raise ValueError("must have the form hg_{32 hex digits}_{32 to 128 of A-Z a-z 0-9 _ -}")
        return value
