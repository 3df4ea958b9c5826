"""What has to be looked at again to know who entered and who left a segment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta

from heliograph_segments.domain.codec import to_document
from heliograph_segments.domain.segments import Library, Rules
from heliograph_segments.domain.uses import built_from

MAX_IDS = 1000


def fingerprint(rules: Rules, library: Library) -> str:
    """Return what is the same for rules that mean the same with all their sources; the library may hold more."""
    sources = sorted(built_from(rules.references(), library))
    written = [[each.segment_id, each.version, to_document(library[each])] for each in sources]
    document = json.dumps([to_document(rules), written], sort_keys=True)
    return hashlib.blake2b(document.encode(), digest_size=16).hexdigest()


def windows(rules: Rules, library: Library) -> frozenset[timedelta]:
    """Return the lengths of the windows of activity that a segment and its sources look back.

    Nothing else that endpoints hold depends on the time: BEFORE and AFTER compare with instants that stand in the rules.
    """
    return frozenset(
        entry.recency.duration.length
        for each in _all_rules(rules, library)
        for group in each.all_groups()
        for entry in group.dimensions
        if entry.recency is not None
    )


def _all_rules(rules: Rules, library: Library) -> Iterator[Rules]:
    yield rules
    for reference in built_from(rules.references(), library):
        yield library[reference]
