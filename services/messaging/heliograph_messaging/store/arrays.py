"""PostgreSQL array literals for UNNEST.

psycopg builds array literals element by element in Python, which costs more than the insert itself at 500 rows of a
dozen columns. Joining is done in C; only columns that hold a quote or a backslash are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Sequence


def text_array(values: Sequence[str]) -> str:
    """Return the literal of a text[]; NUL cannot be stored and becomes U+FFFD."""
    if not values:
        return "{}"
    joined = '","'.join(values)
    if "\\" in joined or "\0" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join(value.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\ufffd") for value in values)
    return f'{{"{joined}"}}'


def plain_array(values: Sequence[object]) -> str:
    """Return the literal of numbers, booleans or hexadecimal ids; None becomes NULL."""
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"
