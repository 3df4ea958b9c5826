"""Contents rendered for the recipients of a batch, and what apps learn about who sent them."""

from __future__ import annotations

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_channels import Content
from heliograph_messaging.content import Prepared
from heliograph_messaging.domain.handlebars import Occasion
from heliograph_messaging.pipeline.page import Values


class Rendering:
    """One content with its values in columns."""

    def __init__(self, prepared: Prepared, values: Values) -> None:
        """Take the content and what stands behind its variables."""
        columns = [values.column(variable) for variable in prepared.compiled.variables]
        self._letters = prepared.page(columns, len(values))

    def content(self, position: int, occasion: Occasion) -> Content:
        """Return what one recipient is told.

        Raises:
            CannotSend: a value is missing, or with his values it cannot be sent.
        """
        return self._letters.render(position, occasion)


def correlation(source: dispatch_pb2.MessageSource) -> dict[str, str]:
    """Return the keys under which an app's SDK finds what sent a notification (pinpoint-2 2.5)."""
    owner = owner_of(source)
    if "campaign_id" in owner:
        return owner | {"treatment_id": source.treatment_id or "0", "campaign_activity_id": source.run_id}
    if "journey_id" in owner:
        return owner | {"journey_run_id": source.run_id, "journey_activity_id": source.activity_id}
    return {"campaign_id": "_DIRECT"}


def owner_of(source: dispatch_pb2.MessageSource) -> dict[str, str]:
    """Return the id of the campaign or journey that sends; nothing for a direct send."""
    collection, _, id = source.name.rpartition("/")
    named = {"campaigns": "campaign_id", "journeys": "journey_id"}.get(collection.rpartition("/")[2])
    return {named: id} if named else {}
