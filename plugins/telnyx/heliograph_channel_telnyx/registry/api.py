"""Calls of Telnyx's API: an answer, a refusal of the papers, or an exception after which they are handed in again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from heliograph_channel_telnyx.codes import errors_of
from heliograph_channel_telnyx.registry.findings import findings_of_errors
from heliograph_channels import Finding, Refused
from heliograph_channels.http_client import Answer, HttpClient, Pause

__all__ = ["Api", "Away", "objects", "text", "time"]

_MEND = frozenset({400, 409, 422})
# Of 4xx, what no change of the papers would mend: the account or Telnyx's day.
_NOT_THE_PAPERS = frozenset({"10009", "10010", "10011", "20100", "20101"})


class Away(Exception):
    """Telnyx did not do it, or nobody knows: an error of its side or of the account, too many calls, a broken line."""


class Api:
    """One account of version 2 of the API."""

    def __init__(self, client: HttpClient, base_url: str, api_key: str, now: Callable[[], datetime]) -> None:
        """Take the client and the address of the API without a slash at the end."""
        self._client = client
        self._url = base_url
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self._now = now
        self._pause = Pause()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """Return what stands at a path, None when there is nothing.

        A list at the top comes as `{"records": [...]}`.

        Raises:
            Away: Telnyx does not answer or refuses.
        """
        answer = await self._call("GET", path, query=query)
        if answer.status == 404:
            return None
        if not 200 <= answer.status < 300:
            raise _away(answer)
        return _body(answer)

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object],
        paths: Mapping[str, str],
        *,
        missing: str | None = None,
    ) -> dict[str, Any]:
        """Create or change something and return it. `paths` are the form's fields by the names of the API.

        `missing` is the field to blame when Telnyx does not have what the papers name; None: the path is ours to get right.

        Raises:
            Refused: it says what to mend.
            Away: Telnyx does not answer, or refuses for a reason that is not in the papers.
        """
        answer = await self._call(method, path, body=body)
        if 200 <= answer.status < 300:
            return _body(answer)
        if answer.status == 404 and missing is not None:
            words = "; ".join(map(str, errors_of(answer.json()))) or "Telnyx has no such thing"
            raise Refused([Finding(missing, "ATTRIBUTES_MISMATCH", words[:500])])
        codes = {error.code for error in errors_of(answer.json())}
        if answer.status in _MEND and not codes & _NOT_THE_PAPERS:
            found = findings_of_errors(answer.json(), paths)
            raise Refused(found or [Finding("", "ATTRIBUTES_MISMATCH", f"Telnyx answered {answer.status}")])
        raise _away(answer)

    async def delete(self, path: str) -> bool:
        """Delete something; False when there was nothing.

        Raises:
            Refused: it cannot be deleted.
            Away: Telnyx does not answer or refuses.
        """
        answer = await self._call("DELETE", path)
        if answer.status in (404, 410):
            return False
        if not 200 <= answer.status < 300:
            if answer.status in _MEND:
                found = findings_of_errors(answer.json(), {})
                raise Refused(found or [Finding("", "ATTRIBUTES_MISMATCH", f"Telnyx answered {answer.status}")])
            raise _away(answer)
        return True

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self._client.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        if until := self._pause.ends(self._now()):
            raise Away(f"Telnyx asked to be left alone until {until:%H:%M:%S} UTC")
        url = self._url + quote(path, safe="/+")
        if query:
            url += "?" + urlencode(query)
        headers = dict(self._headers)
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        answer = await self._client.call(method, url, content=content, headers=headers)
        self._pause.note(answer, self._now())
        return answer


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; whatever else there is is passed over."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(thing: Mapping[str, Any], name: str) -> str:
    """Return a field as text; empty when it is missing or something else."""
    value = thing.get(name)
    return value if isinstance(value, str) else ""


def time(thing: Mapping[str, Any], *names: str) -> datetime | None:
    """Return the first of these fields that is a date with a time, aware UTC; without a zone it is UTC."""
    for name in names:
        try:
            parsed = datetime.fromisoformat(text(thing, name))
        except ValueError:
            continue
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return None


def _body(answer: Answer) -> dict[str, Any]:
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        if answer.complete and not answer.body:
            return {}
        raise Away(f"the call was answered {answer.status}, and the answer is not Telnyx's") from error
    if isinstance(parsed, list):
        return {"records": parsed}
    if not isinstance(parsed, dict):
        raise Away(f"the call was answered {answer.status}, and the answer is not Telnyx's")
    return parsed


def _away(answer: Answer) -> Away:
    words = "; ".join(str(error) for error in errors_of(answer.json()))
    return Away(f"Telnyx answered {answer.status} {words}".rstrip()[:500])
