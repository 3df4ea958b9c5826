"""The document in which registrations move from one installation to another: `heliograph-10dlc-papers/1`. Pure.

    {"format": "heliograph-10dlc-papers/1",
     "brands": [{"key": "brand-1", "fields": {...}, "external_reference": "", "state": "VERIFIED"}],
     "use_cases": [{"key": "use-case-1", "brand": "brand-1", "fields": {...}, "external_reference": "", "state": "DRAFT"}],
     "toll_free_registrations": [{"key": "toll-free-1", "fields": {...}, "external_reference": "", "state": "APPROVED"}]}

Keys hold within the document only. States are for people: a decision of one registrar means nothing to another. Lists and
all members but `key`, `fields` and `brand` may be left out. Numbers, scores and secrets are not in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from heliograph_kit.errors import InvalidArgument, Violation, Violations
from heliograph_registry10dlc import forms
from heliograph_registry10dlc.domain import MAX_EXTERNAL_REFERENCE, Kind

FORMAT = "heliograph-10dlc-papers/1"
LARGEST = 4_000_000
"""Bytes of a document."""
MOST_PAPERS = 1_000

LISTS: Mapping[Kind, str] = {
    Kind.BRAND: "brands",
    Kind.USE_CASE: "use_cases",
    Kind.TOLL_FREE: "toll_free_registrations",
}
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MEMBERS = frozenset({"key", "fields", "external_reference", "state"})
# Violations travel in a header of the answer; clients refuse more than 8 KiB of them.
_LARGEST_REFUSAL = 4_000


@dataclass(frozen=True)
class Paper:
    """One registration of a document. `brand` is the key of a use case's brand; `state` is for people."""

    key: str
    fields: Mapping[str, str]
    external_reference: str = ""
    state: str = ""
    brand: str = ""


@dataclass(frozen=True)
class Papers:
    """A document."""

    brands: tuple[Paper, ...] = ()
    use_cases: tuple[Paper, ...] = ()
    toll_free: tuple[Paper, ...] = ()


def write(papers: Papers) -> bytes:
    """Return a document, UTF-8 JSON; the same papers give the same bytes."""
    lists = {Kind.BRAND: papers.brands, Kind.USE_CASE: papers.use_cases, Kind.TOLL_FREE: papers.toll_free}
    document: dict[str, object] = {"format": FORMAT}
    document |= {LISTS[kind]: [_written(kind, paper) for paper in found] for kind, found in lists.items()}
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def read(document: bytes) -> Papers:
    """Take a document apart.

    Raises:
        InvalidArgument: with all that is wrong with it, below `document`; of very much only the beginning, and how much more.
    """
    violations = Violations()
    papers = _read(document, violations)
    if violations:
        raise InvalidArgument(_shortened(violations.found))
    return papers


def _written(kind: Kind, paper: Paper) -> dict[str, object]:
    written: dict[str, object] = {"key": paper.key}
    if kind is Kind.USE_CASE:
        written["brand"] = paper.brand
    fields = dict(sorted(paper.fields.items()))
    return {**written, "fields": fields, "external_reference": paper.external_reference, "state": paper.state}


def _read(document: bytes, violations: Violations) -> Papers:
    if len(document) > LARGEST:
        violations.add("document", f"must be at most {LARGEST:,} bytes", "TOO_LARGE")
        return Papers()
    try:
        twice: list[str] = []
        parsed = json.loads(document.decode(), object_pairs_hook=lambda pairs: _object(pairs, twice))
    except (ValueError, RecursionError) as error:
        words = "too deep" if isinstance(error, RecursionError) else str(error)
        violations.add("document", f"must be JSON in UTF-8: {words}"[:300], "INVALID_FORMAT")
        return Papers()
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        violations.add("document.format", f"must be {FORMAT}", "UNKNOWN_FORMAT")
        return Papers()
    for name in dict.fromkeys(twice):
        violations.add("document", f"a member must not be given twice: {name[:100]}", "DUPLICATE")
    _refuse_unknown("document", parsed, frozenset({"format", *LISTS.values()}), violations)
    found = {kind: _list(kind, parsed.get(name, []), violations) for kind, name in LISTS.items()}
    if sum(map(len, found.values())) > MOST_PAPERS:
        violations.add("document", f"must hold at most {MOST_PAPERS:,} registrations", "TOO_MANY")
    brands = {paper.key for paper in found[Kind.BRAND]}
    for index, paper in enumerate(found[Kind.USE_CASE]):
        if paper.brand not in brands:
            violations.add(f"document.use_cases[{index}].brand", "must be the key of a brand of it", "UNKNOWN_BRAND")
    return Papers(found[Kind.BRAND], found[Kind.USE_CASE], found[Kind.TOLL_FREE])


def _list(kind: Kind, given: object, violations: Violations) -> tuple[Paper, ...]:
    under = f"document.{LISTS[kind]}"
    if not isinstance(given, list):
        violations.add(under, "must be a list", "INVALID_TYPE")
        return ()
    found: list[Paper] = []
    keys: set[str] = set()
    # One more than may be: enough to refuse the document, and nobody's afternoon to check.
    for index, item in enumerate(given[: MOST_PAPERS + 1]):
        place = f"{under}[{index}]"
        if not isinstance(item, dict):
            violations.add(place, "must be an object", "INVALID_TYPE")
            continue
        paper = _paper(kind, place, item, violations)
        if paper.key in keys:
            violations.add(f"{place}.key", "is the key of another one", "DUPLICATE")
        keys.add(paper.key)
        found.append(paper)
    return tuple(found)


def _paper(kind: Kind, place: str, item: dict[str, object], violations: Violations) -> Paper:
    _refuse_unknown(place, item, _MEMBERS | ({"brand"} if kind is Kind.USE_CASE else set()), violations)
    key = _text(f"{place}.key", item.get("key", ""), violations)
    if not _KEY.fullmatch(key):
        violations.add(f"{place}.key", "must be 1 to 64 of A-Z a-z 0-9 _ . -", "INVALID_FORMAT")
    reference = _text(f"{place}.external_reference", item.get("external_reference", ""), violations)
    if len(reference) > MAX_EXTERNAL_REFERENCE:
        violations.add(
            f"{place}.external_reference", f"must be at most {MAX_EXTERNAL_REFERENCE} characters", "INVALID_LENGTH"
        )
    state = _text(f"{place}.state", item.get("state", ""), violations)
    brand = _text(f"{place}.brand", item.get("brand", ""), violations) if kind is Kind.USE_CASE else ""
    given = item.get("fields", {})
    if not isinstance(given, dict):
        violations.add(f"{place}.fields", "must be an object", "INVALID_TYPE")
        given = {}
    fields = {path: _text(f"{place}.fields.{path}", value, violations) for path, value in given.items()}
    if kind in forms.FORMS:

        def complain(path: str, words: str, reason: str) -> None:
            violations.add(f"{place}.fields.{path}"[:200], words, reason)

        forms.check(kind, fields, complain, complete=False)
    return Paper(key, fields, reference, state, brand)


def _text(place: str, value: object, violations: Violations) -> str:
    if not isinstance(value, str):
        violations.add(place[:200], "must be text", "INVALID_TYPE")
        return ""
    if "\x00" in value or not _encodes(value):
        violations.add(place[:200], "must not hold NUL or half of a character", "INVALID_FORMAT")
        return ""
    return value


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_unknown(place: str, item: Mapping[str, object], known: frozenset[str], violations: Violations) -> None:
    for name in sorted(item.keys() - known):
        violations.add(f"{place}.{name}"[:200], "there is no such member", "UNKNOWN_FIELD")


def _object(pairs: list[tuple[str, object]], twice: list[str]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice.extend(name for name in made if names.count(name) > 1)
    return made


def _shortened(found: tuple[Violation, ...]) -> list[Violation]:
    told: list[Violation] = []
    size = 0
    for violation in found:
        # A name out of the document may hold anything; what is told must be text.
        field, words = (text.encode("utf-8", "replace").decode() for text in (violation.field, violation.description))
        size += len(field.encode()) + len(words.encode()) + len(violation.reason)
        if size > _LARGEST_REFUSAL:
            told.append(Violation("document", f"and {len(found) - len(told)} more", "MORE"))
            break
        told.append(Violation(field, words, violation.reason))
    return told
