"""The recipients of a batch as columns, and the values of template variables out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from heliograph.messaging.v1 import dispatch_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_messaging.domain.paths import Variable
from heliograph_messaging.domain.recipients import Recipients

MAX_RECIPIENTS = 1000
T = TypeVar("T")


class BadPage(ValueError):
    """The columns of a page do not fit together."""


def recipients_of(page: audience_pb2.MemberPage) -> Recipients:
    """Return the fixed columns; a column that is not sent at all holds its default for everybody.

    Raises:
        BadPage: columns of different lengths, or more than 1,000 recipients.
    """
    count = max(len(page.endpoint_ids), len(page.addresses))
    if count > MAX_RECIPIENTS:
        raise BadPage(f"a batch holds at most {MAX_RECIPIENTS} recipients, not {count}")

    def column(name: str, values: Sequence[T], default: T) -> list[T]:
        if values and len(values) != count:
            raise BadPage(f"column {name} holds {len(values)} values for {count} recipients")
        return list(values) if values else [default] * count

    return Recipients(
        endpoint_ids=column("endpoint_ids", page.endpoint_ids, ""),
        user_ids=column("user_ids", page.user_ids, ""),
        channels=column("channels", page.channels, ""),
        addresses=column("addresses", page.addresses, ""),
        opted_out=column("opted_out", page.opted_out, False),
        inactive=column("inactive", page.inactive, False),
    )


class Values:
    """What stands behind the variables of one batch.

    Order (pinpoint-2 1.5, with what a producer put into the columns already): columns of the page, fixed columns,
    substitutions of the batch, defaults of the template.
    """

    def __init__(self, batch: dispatch_pb2.DispatchBatch, recipients: Recipients, defaults: Mapping[str, str]) -> None:
        """Take the batch, its fixed columns and the template's defaults.

        Raises:
            BadPage: a column's counts do not fit its values or the page.
        """
        self._recipients = recipients
        self._defaults = defaults
        self._substitutions: Mapping[str, str] = batch.substitutions
        self._run_id = batch.source.run_id
        self._columns: dict[str, list[Sequence[str]]] = {}
        for column in batch.recipients.columns:
            self._columns[column.path] = _split(column, len(recipients))

    def __len__(self) -> int:
        """Return for how many recipients there are values."""
        return len(self._recipients)

    def column(self, variable: Variable) -> list[str | None] | list[Sequence[str]]:
        """Return a variable's value for each recipient, None where there is none; of one that is `many` its values."""
        return self._lists(variable) if variable.many else self._texts(variable)

    def _lists(self, variable: Variable) -> list[Sequence[str]]:
        texts = self._texts(Variable(variable.path))
        cells = self._columns.get(variable.path, ())
        alone: list[Sequence[str]] = [() if text is None else (text,) for text in texts]
        return [cell or one for cell, one in zip(cells, alone, strict=True)] if cells else alone

    def _texts(self, variable: Variable) -> list[str | None]:
        fallback = self._substitutions.get(variable.path, self._defaults.get(variable.path))
        cells = self._columns.get(variable.path)
        fixed = self._fixed(variable.path) if not variable.index else None
        behind: Sequence[str | None] = (
            [value or fallback for value in fixed] if fixed is not None else [fallback] * len(self._recipients)
        )
        if cells is None:
            return list(behind)
        picked = [_pick(cell, variable.index) for cell in cells]
        return [other if value is None else value for value, other in zip(picked, behind, strict=True)]

    def column_of(self, path: str) -> list[Sequence[str]]:
        """Return all values of a column of the page for each recipient."""
        return self._columns[path]

    def _fixed(self, path: str) -> Sequence[str] | None:
        page = self._recipients
        match path:
            case "Address":
                return page.addresses
            case "ChannelType":
                return page.channels
            case "Id":
                return page.endpoint_ids
            case "User.UserId":
                return page.user_ids
            case "OptOut":
                return ["ALL" if out else "NONE" for out in page.opted_out]
            case "EndpointStatus":
                return ["INACTIVE" if inactive else "ACTIVE" for inactive in page.inactive]
            case "RequestId":
                return [self._run_id] * len(page)
            case _:
                return None


def _split(column: audience_pb2.MemberColumn, count: int) -> list[Sequence[str]]:
    values = list(column.values)
    if not column.counts:
        if len(values) != count:
            raise BadPage(f"column {column.path} holds {len(values)} values for {count} recipients")
        return [(value,) for value in values]
    if len(column.counts) != count or sum(column.counts) != len(values):
        raise BadPage(f"the counts of column {column.path} do not fit its values")
    cells: list[Sequence[str]] = []
    start = 0
    for size in column.counts:
        cells.append(values[start : start + size])
        start += size
    return cells


def _pick(cell: Sequence[str], index: int | None) -> str | None:
    """Return one value of a cell; without an index several are joined (pinpoint-1 6.4)."""
    if index is not None:
        return cell[index] if index < len(cell) else None
    if len(cell) == 1:
        return cell[0]
    return ", ".join(cell) if cell else None
