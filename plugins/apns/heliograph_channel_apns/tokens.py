"""Provider tokens (Apple: "Establishing a token-based connection to APNs"). Pure but for the key.

Apple takes a token for an hour and wants no more than one in 20 minutes, from all of us together. So a token is dated back
to the beginning of its 40 minutes, and signed without chance: every worker, and one that was started again, has the same.
"""

from __future__ import annotations

from datetime import datetime

from heliograph_channels.jwt import SigningKey, signed

__all__ = ["ProviderTokens"]

_LASTS = 40 * 60
_SOONEST = 20 * 60


class ProviderTokens:
    """The tokens of one key. Shows none in its repr."""

    def __init__(self, team_id: str, key_id: str, key: SigningKey) -> None:
        """Take what Apple knows us by."""
        self._team, self._key_id, self._key = team_id, key_id, key
        self._phase = 0
        self._forced: int | None = None
        self._issued = -1
        self._text = ""

    def current(self, now: datetime) -> str:
        """Return the token of these 40 minutes."""
        seconds = int(now.timestamp())
        issued = seconds - (seconds - self._phase) % _LASTS
        if issued != self._issued:
            self._issued = issued
            self._text = signed({"iss": self._team, "iat": issued}, self._key, key_id=self._key_id)
        return self._text

    def instead_of(self, refused: str, now: datetime) -> str | None:
        """Return another token than one that Apple calls expired; None when another would come too soon.

        Clocks that differ are the likely cause. The new token begins now, and its 40 minutes with it.
        """
        current = self.current(now)
        if current != refused:
            return current
        seconds = int(now.timestamp())
        if seconds == self._issued or (self._forced is not None and seconds - self._forced < _SOONEST):
            return None
        self._forced, self._phase = seconds, seconds % _LASTS
        return self.current(now)
