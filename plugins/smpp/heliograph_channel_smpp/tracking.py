"""Which ids of the SMSC are parts of which message, so that one receipt speaks for all parts. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from heliograph_channel_smpp.receipts import Told
from heliograph_channels import Receipt, ReceiptKind

__all__ = ["Group", "Tracker"]


class Group:
    """A message of several parts, or one whose answer came too late: what is known of each part."""

    __slots__ = ("delivered", "ids", "message_id", "serial", "total")

    def __init__(self, message_id: str, total: int, serial: int) -> None:
        """Know nothing yet."""
        self.message_id = message_id
        self.total = total
        self.serial = serial
        self.ids: dict[int, str] = {}
        self.delivered: set[str] = set()

    @property
    def name(self) -> str:
        """What its receipts are called: the id of its first part, or its own."""
        return self.ids.get(0) or self.message_id


class Tracker:
    """The ids of the parts of the last messages, at most `most`; receipts of older ones go by the id they name."""

    def __init__(self, most: int = 100_000) -> None:
        """Begin with nothing."""
        self._most = most
        self._by_id: OrderedDict[str, Group] = OrderedDict()
        self._open: dict[int, Group] = {}
        self._serial = 0
        self._early: list[tuple[int, str, Callable[[], None]]] = []

    def begin(self, message_id: str, total: int) -> Group:
        """Start a message whose parts are being submitted; `end` it when none is any more."""
        self._serial += 1
        group = Group(message_id, total, self._serial)
        self._open[group.serial] = group
        return group

    def learn(self, group: Group, place: int, provider_message_id: str) -> None:
        """Remember the id of the part at `place` (0 = first)."""
        if not provider_message_id:
            return
        group.ids[place] = provider_message_id
        self._by_id[provider_message_id] = group
        self._by_id.move_to_end(provider_message_id)
        while len(self._by_id) > self._most:
            self._by_id.popitem(last=False)
        self._release()

    def end(self, group: Group) -> None:
        """Say that no further part is being submitted; receipts that waited for its ids go on."""
        self._open.pop(group.serial, None)
        self._release()

    def wait(self, provider_message_id: str, go_on: Callable[[], None]) -> bool:
        """Whether a receipt came before the answer that tells whose it is may have; `go_on` is called when that is over.

        An SMSC may deliver faster than it answers. Only while messages of several parts are being submitted can an id
        nobody knows be one of theirs.
        """
        if not self._open or provider_message_id in self._by_id:
            return False
        self._early.append((self._serial, provider_message_id, go_on))
        return True

    @property
    def waiting(self) -> int:
        """How many receipts wait."""
        return len(self._early)

    def release_all(self) -> None:
        """Let every receipt go on that waits."""
        early, self._early = self._early, []
        for _, _, go_on in early:
            go_on()

    def receipt(self, told: Told, now: datetime) -> Receipt | None:
        """Return what is to be reported, None where it is nothing yet. The same receipt leads to the same report.

        A message of several parts is delivered when all of them are, and failed when one of them is.
        """
        if told.kind is None:
            return None
        group = self._by_id.get(told.provider_message_id)
        if group is None:
            return Receipt(
                _bounded(f"{told.provider_message_id}:{told.mark}"), told.kind, now,
                provider_message_id=told.provider_message_id, detail=told.detail, permanent=told.permanent,
            )  # fmt: skip
        detail = told.detail
        if told.kind is ReceiptKind.DELIVERED:
            group.delivered.add(told.provider_message_id)
            if len(group.ids) < group.total or not group.delivered.issuperset(group.ids.values()):
                return None
        elif group.total > 1:
            number = next(place for place, id in group.ids.items() if id == told.provider_message_id) + 1
            detail = f"part {number} of {group.total}: {detail}"
        return Receipt(
            _bounded(f"{group.name}:{told.kind}"), told.kind, now, message_id=group.message_id, detail=detail,
            permanent=told.permanent,
        )  # fmt: skip

    def _release(self) -> None:
        if not self._early:
            return
        oldest = next(iter(self._open), self._serial + 1)
        early, self._early = self._early, []
        for one in early:
            if one[0] >= oldest and one[1] not in self._by_id:
                self._early.append(one)
            else:
                one[2]()


def _bounded(receipt_id: str) -> str:
    """Keep an id below the 200 characters that are stored; an SMSC's own may have more."""
    return receipt_id if len(receipt_id) <= 150 else hashlib.blake2b(receipt_id.encode(), digest_size=32).hexdigest()
