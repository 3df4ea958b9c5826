"""Secrets of channels, kept out of everything that is written: log lines, the ledger, spans, answers to callers."""

from __future__ import annotations

import json
import logging
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "[secret]"
SHORTEST = 6
"""Characters; what is shorter would be found in words that are no secret, and hides nothing where it is replaced."""

# What a record has besides what its caller added by `extra`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Secrets:
    """Values that must not be shown, and the forms in which they would be written."""

    def __init__(self, values: Iterable[object] = ()) -> None:
        """Take secret settings: texts, numbers, lists and objects of them."""
        self._forms: tuple[str, ...] = ()
        self.learn(values)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._forms)

    def learn(self, values: Iterable[object]) -> None:
        """Hide these as well. They are not forgotten: a secret that is replaced may still be good elsewhere."""
        found = {form for value in values for text in _texts(value) for form in _forms(text)}
        # The longest first: one that holds another must not leave its rest behind.
        self._forms = tuple(sorted({*self._forms, *found}, key=lambda form: (-len(form), form)))

    def hide(self, text: str) -> str:
        """Return the text with every secret replaced."""
        there = [form for form in self._forms if form in text]
        if not there:
            return text
        # In one pass: a secret may be a word of what replaces another.
        return re.sub("|".join(map(re.escape, there)), HIDDEN, text)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        # Of a key over several lines one line is enough to be told too much.
        yield from (line for line in value.splitlines() if not line.startswith("-----"))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _forms(text: str) -> Iterator[str]:
    text = text.strip()
    if len(text) >= SHORTEST:
        yield text
        yield repr(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield urllib.parse.quote(text, safe="", errors="replace")
        yield urllib.parse.quote_plus(text, errors="replace")


class Redaction(logging.Filter):
    """A filter of log records that lets all pass, without secrets."""

    def __init__(self, secrets: Secrets) -> None:
        """Take what is to be hidden."""
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace secrets in message, arguments, exception and whatever else the record carries."""
        if not self._secrets:
            return True
        hide = self._secrets.hide
        shown = self._message(record)
        if record.exc_info and record.exc_info[0] is not None:
            trace = logging.Formatter().formatException(record.exc_info)
            if hide(trace) != trace:
                # Formatters would write the exception anew out of its objects, so they must not get them.
                record.msg, record.args = f"{shown}\n{hide(trace)}", ()
                record.exc_info = record.exc_text = None
        for name in ("exc_text", "stack_info"):
            if text := getattr(record, name):
                setattr(record, name, hide(text))
        for name, value in vars(record).items():
            if name not in _USUAL:
                text = value if isinstance(value, str) else repr(value)
                if hide(text) != text:
                    setattr(record, name, hide(text))
        return True

    def _message(self, record: logging.LogRecord) -> str:
        hide = self._secrets.hide
        if isinstance(record.msg, dict):  # an event of structlog on its way through the standard library
            record.msg = {name: hide(value) if isinstance(value, str) else value for name, value in record.msg.items()}
            return str(record.msg)
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit: shown beside the text, as nothing else can be done with them
            message = f"{record.msg} {record.args!r}"
            record.msg, record.args = message, ()
        shown = hide(message)
        if shown != message:
            record.msg, record.args = shown, ()
        return shown


KNOWN = Secrets()
"""Secrets of all channels that were opened in this process."""
_REDACTION = Redaction(KNOWN)


def watch(logger: logging.Logger) -> None:
    """Let nothing secret out of this logger, nor through any handler of the root. Safe to repeat.

    Handlers, because a plugin and its libraries log under names of their own; the logger, because others may have
    handlers at it.
    """
    logger.addFilter(_REDACTION)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_REDACTION)
