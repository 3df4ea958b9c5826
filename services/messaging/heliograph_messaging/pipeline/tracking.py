"""Opens and clicks of e-mail: whether they are tracked, under which key, and how links get into a batch's messages."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_messaging.domain.links import Marked, Rewriting, mark
from heliograph_messaging.domain.tracking import KEY_BYTES, Signer
from heliograph_messaging.store import keys as store
from heliograph_messaging.store.channels import StoredChannel

NOWHERE = "one-click unsubscribing needs HELIOGRAPH_MESSAGING_PUBLIC_URL"


class TrackingKeys:
    """The keys of tracked links: given by the operator, else made once and stored. The first signs, all are good."""

    def __init__(self, database: Database, given: Sequence[str]) -> None:
        """Take where the made one is stored, and the operator's secrets."""
        self._database = database
        self._given = [_key_of(secret) for secret in given]
        self._known: Sequence[bytes] = ()

    async def get(self) -> Sequence[bytes]:
        """Return all keys. In transactions of its own: whoever asks may take his back, and the key must stay."""
        if not self._known:
            async with self._database.transaction() as conn:
                stored = await store.find(conn)
                if stored is None and not self._given:
                    await store.keep(conn, secrets.token_bytes(KEY_BYTES))
                    stored = await store.find(conn)
            # A key that was made before the operator gave one: what was sent under it stays good.
            self._known = [*self._given, *([stored] if stored else [])]
        return self._known


class Tracking:
    """Decides about tracking for channels, and prepares it for batches."""

    def __init__(self, keys: TrackingKeys, clock: Clock, *, public_url: str, click_days: int) -> None:
        """Take the keys, the date, where the gateway is reached (empty: nowhere) and how long clicks lead on."""
        self._keys = keys
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._click_days = click_days
        # No value of a recipient can hold it: nobody outside of this process has seen it.
        self._mark = f"hg{secrets.token_hex(8)}"

    @property
    def reachable(self) -> bool:
        """Whether the installation is reached from outside, so that there can be links to it."""
        return bool(self._public_url)

    def wanted(self, channel: StoredChannel) -> tuple[bool, bool]:
        """Tell whether opens and clicks of a channel's messages are tracked; never without a public URL."""
        if channel.kind != "EMAIL" or not self._public_url:
            return False, False
        return channel.open_tracking is not False, channel.click_tracking is not False

    def marking(self, html: str) -> Marked | None:
        """Mark the links of an e-mail's HTML; None when there is none: mail of text alone has no links of ours."""
        return mark(html, self._mark, self._public_url) if html.strip() else None

    async def signer(self, project: str) -> Signer | None:
        """Return what signs links of a project's e-mails, also that of unsubscribing; None when there can be none."""
        if not self.reachable:
            return None
        key, today = (await self._keys.get())[0], self._clock.now().date()
        return Signer(key, self._public_url, project, today=today, click_days=self._click_days)

    def rewriting(self, channel: StoredChannel, marked: Marked | None, signer: Signer | None) -> Rewriting | None:
        """Return what puts links into the messages of a batch; None when nothing is to be put in."""
        if marked is None or signer is None:
            return None
        opens, clicks = self.wanted(channel)
        return Rewriting(marked, signer, opens=opens, clicks=clicks)


def _key_of(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=KEY_BYTES, person=b"heliograph-links").digest()
