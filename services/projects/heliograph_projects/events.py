"""What the projects service announces."""

from __future__ import annotations

from heliograph.projects.v1 import events_pb2
from heliograph_kit.ids import derived_id
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject
from heliograph_projects.domain import Project

_SERVICE = "projects"


def project_created(project: Project) -> Outgoing:
    """Tell that a project exists. A project is created once, so its id makes the message's id."""
    return Outgoing(
        subject=changes_subject(_SERVICE, project.id, "project_created"),
        message=events_pb2.ProjectCreated(project=project.name),
        id=derived_id("project_created", project.id),
        project=project.id,
    )


def project_deleted(project: Project) -> Outgoing:
    """Tell every service to drop what it holds of a project. Ids are never given again, so this happens once."""
    return Outgoing(
        subject=changes_subject(_SERVICE, project.id, "project_deleted"),
        message=events_pb2.ProjectDeleted(project=project.name),
        id=derived_id("project_deleted", project.id),
        project=project.id,
    )
