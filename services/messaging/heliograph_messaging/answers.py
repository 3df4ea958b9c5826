"""What plugins answer, made sound: of our own classes, of text a database takes, and no longer than it may be.

Uses the SDK alone, because it also runs in the processes of isolated plugins. Nothing here trusts a type annotation: a
plugin may return objects whose properties raise, texts of a gigabyte, and subclasses that lie about their class.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    InboundMessage,
    Kind,
    Problem,
    Receipt,
    Received,
    Rejected,
    RejectReason,
    SendResult,
    Unknown,
    Unsupported,
    address_problem,
)

DETAIL_LENGTH = 500
ID_LENGTH = 500
"""Of a provider's id, characters: an index of PostgreSQL takes 2,700 bytes a row."""
ADDRESS_LENGTH = 4096
ATTRIBUTES, ATTRIBUTE_LENGTH = 5, 128
PROBLEMS, PROBLEM_LENGTH = 100, 300
BODY_LENGTH = 64 * 1024
"""Of the answer to a webhook, bytes."""


class Unsound(Exception):
    """What a plugin answered cannot be used at all; the text says why and holds nothing of it but a class's name."""


def plain(value: object, limit: int) -> str:
    """Return text that a database and a log take: at most `limit` characters, no NUL, no half character; else ""."""
    if type(value) in (int, float, bool):
        return str(value)[:limit]
    if not isinstance(value, str):
        return ""
    text = str.__str__(value)[:limit]  # of a subclass, without asking it
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def type_name(value: object) -> str:
    """Return the name of an object's class, whatever the class says of itself."""
    try:
        name = type.__dict__["__name__"].__get__(type(value))
    except Exception:  # the class is the plugin's, too
        return "thing"
    return plain(name, 80) or "thing"


def clean(result: object, plugin: str) -> tuple[SendResult, str]:
    """Return a plugin's answer for one message as one of ours, and what was wrong with it ("": nothing)."""
    if type(result) is Accepted and _is_simple(result):
        return result, ""
    wrong = f"answered a {type_name(result)}"
    try:
        if isinstance(result, Accepted):
            return _accepted(result)
        if isinstance(result, Rejected):
            return _rejected(result)
        if isinstance(result, Unsupported):
            return Unsupported(plain(result.feature, DETAIL_LENGTH)), ""
        if isinstance(result, Unknown):
            return Unknown(plain(result.detail, DETAIL_LENGTH)), ""
    except (Exception, SystemExit) as error:  # a property of a class that is not ours may raise anything
        wrong += f" that cannot be read ({type_name(error)})"
    drop(result)
    return Unknown(f"the channel plugin {plugin!r} {wrong}"), wrong


def items(answer: object) -> list[object] | None:
    """Return what a list or tuple holds, None when it is neither. Not by its own iterator: its class may be theirs."""
    if isinstance(answer, list):
        return list.copy(answer)
    if isinstance(answer, tuple):
        return list(tuple.__iter__(answer))
    drop(answer)
    return None


def drop(answer: object) -> None:
    """Throw an answer away that is none; a coroutine among them would warn that nobody awaited it."""
    if inspect.iscoroutine(answer):
        answer.close()


def _is_simple(result: Accepted) -> bool:
    id, attributes, address = result.provider_message_id, result.attributes, result.new_address
    return (
        type(id) is str and 0 < len(id) <= ID_LENGTH and id.isascii() and "\0" not in id
        and type(attributes) is dict and not attributes and type(address) is str and not address
    )  # fmt: skip


def _accepted(result: Accepted) -> tuple[SendResult, str]:
    """Keep that it was accepted, which is what decides whether it is sent again; drop what cannot be used."""
    wrong = []
    given: object = result.provider_message_id
    id = plain(given, ID_LENGTH + 1)
    if len(id) > ID_LENGTH or "\ufffd" in id or (not id and given != ""):
        wrong.append(f"gave an id that is no text of 1 to {ID_LENGTH} characters")
        id = ""
    attributes: dict[str, str] = {}
    if isinstance(result.attributes, Mapping):
        for name in result.attributes:
            if len(attributes) == ATTRIBUTES:
                wrong.append(f"gave more than {ATTRIBUTES} attributes")
                break
            value = result.attributes[name]
            if isinstance(name, str) and isinstance(value, str) and 0 < len(name) <= ATTRIBUTE_LENGTH >= len(value):
                attributes[plain(name, ATTRIBUTE_LENGTH)] = plain(value, ATTRIBUTE_LENGTH)
            else:
                wrong.append(f"gave an attribute that is no text of at most {ATTRIBUTE_LENGTH} characters")
    else:
        wrong.append("gave attributes that are no mapping")
    address = plain(result.new_address, ADDRESS_LENGTH + 1)
    if len(address) > ADDRESS_LENGTH:
        wrong.append("gave a new address that is too long")
        address = ""
    return Accepted(id, attributes, address), "; ".join(dict.fromkeys(wrong))


def _rejected(result: Rejected) -> tuple[SendResult, str]:
    wrong = ""
    reason: object = result.reason
    if type(reason) is not RejectReason:
        try:
            reason = RejectReason(plain(reason, 40))
        except ValueError:
            reason, wrong = RejectReason.REFUSED, "gave a reason that is no RejectReason"
    if type(result.retryable) is not bool:
        wrong = wrong or "did not say whether a rejection is retryable"
    return Rejected(reason, result.retryable is True, plain(result.detail, DETAIL_LENGTH)), wrong


def hidden(result: SendResult, hide: Callable[[str], str]) -> SendResult:
    """Return the answer without the secrets in its texts. An id that held one is dropped: it would match nothing."""
    if isinstance(result, Accepted):
        texts = (result.provider_message_id, result.new_address, *result.attributes, *result.attributes.values())
        if all(hide(text) == text for text in texts):
            return result
        id = result.provider_message_id if hide(result.provider_message_id) == result.provider_message_id else ""
        return Accepted(id)
    if isinstance(result, Rejected):
        return Rejected(result.reason, result.retryable, hide(result.detail))
    if isinstance(result, Unsupported):
        return Unsupported(hide(result.feature))
    return Unknown(hide(result.detail))


def check_addresses(provider: ChannelProvider, kind: Kind, addresses: Sequence[str]) -> tuple[list[str | None], str]:
    """Ask a plugin about addresses; returns a problem or None for each, and what was wrong with the plugin ("": nothing).

    An address on which the plugin raises is judged by its syntax alone, so that a mistake in a check neither stops a
    batch nor fails anybody.
    """
    wrong = ""
    try:
        found = items(provider.check_addresses(kind, addresses))
        sound = found is not None and all(problem is None or type(problem) is str for problem in found)
        if found is not None and sound and len(found) == len(addresses):
            return [plain(problem, PROBLEM_LENGTH) if problem else None for problem in found], ""
        wrong = "check_addresses did not answer a problem or None for each address"
    except (Exception, SystemExit) as error:  # whatever a plugin raises is told by its type; the text may hold a secret
        wrong = f"check_addresses raised {type_name(error)}"
    return [_check_address(provider, kind, address) for address in addresses], wrong


def _check_address(provider: ChannelProvider, kind: Kind, address: str) -> str | None:
    try:
        problem: object = provider.check_address(kind, address)
        if problem is None or isinstance(problem, str):
            return plain(problem, PROBLEM_LENGTH) or None
    except (Exception, SystemExit):  # told once, by the caller
        return address_problem(kind, address)
    return address_problem(kind, address)


def clean_problems(answer: object) -> list[Problem]:
    """Return what a plugin finds wrong with settings.

    Raises:
        Unsound: it did not answer a list of problems.
    """
    found = items(answer)
    if found is None or not all(isinstance(problem, Problem) for problem in found):
        raise Unsound(f"check_settings answered a {type_name(answer)} instead of a list of problems")
    problems = [one for one in found[:PROBLEMS] if isinstance(one, Problem)]
    return [Problem(plain(one.field, PROBLEM_LENGTH), plain(one.description, PROBLEM_LENGTH)) for one in problems]


_CONTENT_TYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[A-Za-z0-9_-]+=[A-Za-z0-9_.-]+)*")


def clean_received(answer: object, hide: Callable[[str], str]) -> Received:
    """Return what a webhook said, with an answer for its caller that can be sent and holds no secret.

    What it reports is looked at where it is stored: one bad receipt does not make the others worthless.

    Raises:
        Unsound: there is no such answer.
    """
    try:
        if not isinstance(answer, Received):
            drop(answer)
            raise Unsound(f"answered a {type_name(answer)} to a webhook")
        status, body, content_type = answer.status, answer.body, answer.content_type
        receipts, inbound = items(answer.receipts), items(answer.inbound)
    except Unsound:
        raise
    except Exception as error:  # a property of a class that is not ours may raise anything
        raise Unsound(f"answered a webhook with something that cannot be read ({type_name(error)})") from None
    if type(status) is not int or not 200 <= status <= 599:
        raise Unsound("answered a webhook with a status that is none")
    if type(body) is not bytes or len(body) > BODY_LENGTH:
        raise Unsound(f"answered a webhook with a body that is none, or has more than {BODY_LENGTH:,} bytes")
    if type(content_type) is not str or not _CONTENT_TYPE.fullmatch(content_type):
        raise Unsound("answered a webhook with a content type that is none")
    if receipts is None or inbound is None:
        raise Unsound("reported something that is no list to a webhook")
    text = body.decode("utf-8", "surrogateescape")
    shown = hide(text).encode("utf-8", "surrogateescape")
    return Received(cast(list[Receipt], receipts), cast(list[InboundMessage], inbound), status, shown, content_type)


_WHOLE = ("batch_size", "concurrency")


def clean_capabilities(answer: object) -> Capabilities:
    """Return capabilities that are what they say they are.

    Raises:
        Unsound: they are not.
    """
    if not isinstance(answer, Capabilities):
        raise Unsound(f"capabilities_for answered a {type_name(answer)}")
    values = {name: getattr(answer, name) for name in Capabilities.__dataclass_fields__}
    for name, value in values.items():
        if type(value) is not (int if name in _WHOLE else bool):
            raise Unsound(f"capabilities_for answered a {type_name(value)} as {name}")
    return Capabilities(**values)
