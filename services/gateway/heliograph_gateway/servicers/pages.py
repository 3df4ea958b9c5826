"""The few pages people see at the edge: no script, nothing from elsewhere, nothing that is kept."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem;color:#222;background:#fff}"
    "button{font:inherit;padding:.6rem 1.2rem;border:1px solid #222;border-radius:.3rem;background:#222;color:#fff;"
    "cursor:pointer}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
# The form calls the address it stands at: the browser need not know where that is.
_FORM = (
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    '<button type="submit">Unsubscribe</button></form>'
)


def ask_to_confirm() -> HTMLResponse:
    """Return the page that asks whether somebody wants no more messages."""
    return _page(200, "Unsubscribe", "<p>Do you want to get no more messages at this address?</p>" + _FORM)


def unsubscribed() -> HTMLResponse:
    """Return the page that tells that it is done."""
    return _page(200, "You are unsubscribed", "<p>You will get no more of these messages.</p>")


def refusal(status: int, title: str, words: str, *, retry_after: int | None = None) -> HTMLResponse:
    """Return a page that tells why there is nothing."""
    page = _page(status, title, f"<p>{escape(words)}</p>")
    if retry_after is not None:
        page.headers["retry-after"] = str(retry_after)
    return page


def _page(status: int, title: str, body: str) -> HTMLResponse:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
    return HTMLResponse(text, status, HEADERS)
