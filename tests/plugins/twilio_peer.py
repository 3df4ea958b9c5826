"""A Twilio of our own on loopback: it takes what Twilio takes, refuses what Twilio refuses, and signs what it tells.

Magic numbers are those of Twilio's test credentials.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from heliograph_channels import WebhookRequest
from tests.plugins.http_peers import Call, HttpPeer, Reply

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "unmistakable-auth-token-of-the-account"
KEY, KEY_SECRET = "SK" + "fedcba9876543210" * 2, "unmistakable-secret-of-the-api-key"
SERVICE = "MG" + "00112233445566778899aabbccddeeff"
FROM = "+15005550006"
DATE = "Thu, 30 Jul 2026 20:12:31 +0000"

_TO = {
    "Messages": {"001": 21211, "002": 21612, "003": 21408, "004": 21610, "009": 21614},
    "Calls": {"001": 21217, "002": 21214, "003": 21215, "004": 21216},
}
_FROM = {
    "Messages": {"001": 21212, "007": 21606, "008": 21611},
    "Calls": {"001": 21212},
}
_ALLOWED = {
    "Messages": {"To", "From", "MessagingServiceSid", "Body", "MediaUrl", "StatusCallback", "ValidityPeriod"},
    "Calls": {"To", "From", "Twiml", "StatusCallback", "Timeout", "TimeLimit"},
}
_SAY = {"break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"}


@dataclass
class FakeTwilio(HttpPeer):
    """The Messages and Calls resources of one account. `created` are the forms by sid."""

    created: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def answer(self, call: Call) -> Reply:
        path, _, query = call.target.partition("?")
        match = re.fullmatch(rf"/2010-04-01/Accounts/({ACCOUNT})/(Messages|Calls)\.json", path)
        if match is None:
            return error(404, 20404, f"The requested resource {path} was not found")
        if call.headers.get("authorization") not in (_basic(ACCOUNT, TOKEN), _basic(KEY, KEY_SECRET)):
            return error(401, 20003, "Authenticate")
        if call.method == "GET" and query == "PageSize=1":
            return Reply.of(200, {match[2].lower(): [], "page": 0, "page_size": 1})
        if call.method != "POST":
            return error(405, 20004, "Method not allowed")
        if call.headers.get("content-type") != "application/x-www-form-urlencoded":
            return error(415, 20001, "Unsupported content type")
        return self._create(match[2], call)

    def _create(self, resource: str, call: Call) -> Reply:
        form: dict[str, list[str]] = {}
        for name, value in call.form:
            form.setdefault(name, []).append(value)
        if strange := set(form) - _ALLOWED[resource]:
            return error(400, 20001, f"Unknown parameters: {', '.join(sorted(strange))}")
        if twice := [name for name, values in form.items() if len(values) > 1 and name != "MediaUrl"]:
            return error(400, 20001, f"Parameters given twice: {', '.join(twice)}")
        one = {name: values[0] for name, values in form.items()}
        if refused := _common(resource, one) or (_message(form) if resource == "Messages" else _call(one)):
            return refused
        media = "MediaUrl" in form
        prefix = "CA" if resource == "Calls" else "MM" if media else "SM"
        sid = prefix + hashlib.md5(f"{len(self.created)} {one['To']}".encode()).hexdigest()
        self.created[sid] = form
        return Reply.of(201, _resource(resource, sid, one, len(form.get("MediaUrl", ()))))

    def callback(self, sid: str, **fields: str) -> WebhookRequest:
        """Return the signed call Twilio makes to the StatusCallback of a message or call."""
        form = self.created[sid]
        kind = "Call" if sid.startswith("CA") else "Message"
        told = {
            f"{kind}Sid": sid,
            "AccountSid": ACCOUNT,
            "From": form.get("From", [FROM])[0],
            "To": form["To"][0],
            "ApiVersion": "2010-04-01",
            **fields,
        }
        return signed_form(form["StatusCallback"][0], told)


def error(status: int, code: int, message: str) -> Reply:
    """Return an error in Twilio's words."""
    told = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return Reply.of(status, told)


def signed_form(url: str, fields: dict[str, str], token: str = TOKEN, *, signed_url: str = "") -> WebhookRequest:
    """Return a form as Twilio posts and signs it: the address, then every name and value in the order of the names."""
    text = signed_url or url
    for name in sorted(fields):
        text += name + fields[name]
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-twilio-signature": _hmac(token, text),
        "i-twilio-idempotency-token": "00000000-0000-4000-8000-000000000000",
        "user-agent": "TwilioProxy/1.1",
    }
    return WebhookRequest("POST", url, headers, urlencode(fields, quote_via=quote).encode())


def signed_json(url: str, body: bytes, token: str = TOKEN) -> WebhookRequest:
    """Return a JSON body as Twilio posts and signs it: by the address, which holds the body's hash."""
    url = f"{url}{'&' if urlsplit(url).query else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"content-type": "application/json", "x-twilio-signature": _hmac(token, url)}
    return WebhookRequest("POST", url, headers, body)


def _hmac(token: str, text: str) -> str:
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _common(resource: str, one: dict[str, str]) -> Reply | None:
    to = one.get("To", "")
    if not to:
        return error(400, 21604 if resource == "Messages" else 21201, "A 'To' phone number is required")
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", to):
        return error(400, 21211, f"Invalid 'To' Phone Number: {to}")
    for number, codes in ((to, _TO[resource]), (one.get("From", ""), _FROM[resource])):
        if number.startswith("+15005550") and (code := codes.get(number[-3:])):
            return error(429 if code == 21611 else 400, code, f"magic number {number}")
    callback = one.get("StatusCallback")
    if callback is not None and not re.fullmatch(r"https://[a-z0-9.-]+/[!-~]*", callback):
        return error(400, 21609, "The StatusCallback URL is not a valid URL")
    return None


def _message(form: dict[str, list[str]]) -> Reply | None:
    sender, service = form.get("From", [""])[0], form.get("MessagingServiceSid", [""])[0]
    if not sender and not service:
        return error(400, 21603, "A 'From' or 'MessagingServiceSid' parameter is required to send a message")
    if service and service != SERVICE:
        return error(404, 21701, "The Messaging Service does not exist")
    if sender and sender != FROM and not re.fullmatch(r"[A-Za-z][A-Za-z0-9 ]{0,10}", sender):
        return error(400, 21606, f"The 'From' phone number provided ({sender}) is not a valid message-capable number")
    body, media = form.get("Body", [""])[0], form.get("MediaUrl", [])
    if not body.strip() and not media:
        return error(400, 21619, "A text message body or media urls must be specified.")
    if len(body) > 1600:
        return error(400, 21617, "The concatenated message body exceeds the 1600 character limit")
    if len(media) > 10:
        return error(400, 21623, "Number of media files exceeds allowed limit")
    if not 1 <= int(form.get("ValidityPeriod", ["36000"])[0]) <= 36000:
        return error(400, 21624, "Invalid validity period value")
    return None


def _call(one: dict[str, str]) -> Reply | None:
    if one.get("From") != FROM:
        return error(400, 21210, "The source phone number provided is not yet verified for your account")
    document = one.get("Twiml", "")
    if len(document) > 4000:
        return error(400, 32018, "Twiml size exceeded maximum allowed value of 4000 characters")
    try:
        root = ET.fromstring(document)
    except ET.ParseError:
        return error(400, 12100, "Document parse failure")
    (say,) = root
    assert (root.tag, say.tag) == ("Response", "Say")
    assert {child.tag for child in say.iter()} - {"Say"} <= _SAY
    assert set(say.attrib) <= {"voice", "language", "loop"}
    assert 1 <= int(one["Timeout"]) <= 600
    assert int(one["TimeLimit"]) > 0
    return None


def _resource(resource: str, sid: str, one: dict[str, str], media: int) -> dict[str, object]:
    """Return the JSON of a created resource, as Twilio's reference shows it."""
    common: dict[str, object] = {
        "sid": sid,
        "account_sid": ACCOUNT,
        "to": one["To"],
        "from": one.get("From"),
        "date_created": DATE,
        "date_updated": DATE,
        "price": None,
        "price_unit": "USD",
        "api_version": "2010-04-01",
        "uri": f"/2010-04-01/Accounts/{ACCOUNT}/{resource}/{sid}.json",
    }
    if resource == "Calls":
        return {**common, "status": "queued", "direction": "outbound-api", "answered_by": None, "start_time": None}
    return {
        **common,
        "body": one.get("Body", ""),
        "status": "accepted" if "MessagingServiceSid" in one else "queued",
        "direction": "outbound-api",
        "num_segments": "1",
        "num_media": str(media),
        "error_code": None,
        "error_message": None,
        "messaging_service_sid": one.get("MessagingServiceSid"),
    }
