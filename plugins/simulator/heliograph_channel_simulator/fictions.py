"""Numbers and ids that look like real ones and are drawn from a submission's id: the same one always gets the same. Pure."""

from __future__ import annotations

import hashlib
import re

from heliograph_channels import SubmissionKind

__all__ = ["TOLL_FREE_CODES", "area_code_problem", "draw", "fictional_number", "lasting_id", "score_in"]

TOLL_FREE_CODES = ("888", "877", "866", "855", "844", "833")
_AREA_CODE = re.compile(r"[2-9][0-8][0-9]")
_LASTING = re.compile(r"SIM-[A-Z]-[0-9A-F]{16}(?:-S([0-9]{1,3}))?")
_LETTERS = {
    SubmissionKind.BRAND: "B",
    SubmissionKind.VETTING: "V",
    SubmissionKind.USE_CASE: "U",
    SubmissionKind.TOLL_FREE: "T",
}


def draw(id: str, purpose: str, most: int) -> int:
    """Return a number from 0 to `most` - 1 that always is the same for this id and purpose."""
    digest = hashlib.blake2b(f"{purpose} {id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % most


def area_code_problem(area_code: str, number_type: str) -> str | None:
    """Say why nobody can have a number of this kind with this area code, None if somebody can or none was asked for."""
    if not area_code:
        return None
    if number_type == "TOLL_FREE":
        return None if area_code in TOLL_FREE_CODES else f"toll-free numbers begin with {', '.join(TOLL_FREE_CODES)}"
    if not _AREA_CODE.fullmatch(area_code) or area_code in TOLL_FREE_CODES:
        return "is no area code of the North American plan"
    return None


def fictional_number(id: str, number_type: str, area_code: str) -> str:
    """Draw a number of the North American plan.

    Without an area code the number has one of the eighty that are kept free for the plan's next step (N9X), so it is
    nobody's; two of a thousand such numbers are alike once in a thousand times. With one it may be somebody's:
    nothing ever leaves a simulator.
    """
    if not area_code and number_type == "TOLL_FREE":
        area_code = TOLL_FREE_CODES[draw(id, "area code", len(TOLL_FREE_CODES))]
    elif not area_code:
        code = draw(id, "area code", 80)
        area_code = f"{2 + code // 10}9{code % 10}"
    # NXX-XXXX, without the exchanges N11.
    exchanges = [exchange for exchange in range(200, 1000) if exchange % 100 != 11]
    exchange = exchanges[draw(id, "exchange", len(exchanges))]
    return f"+1{area_code}{exchange}{draw(id, 'line', 10_000):04d}"


def lasting_id(kind: SubmissionKind, id: str, known: str, score: int | None) -> str:
    """Return the lasting id of a thing: the one it has, else one drawn from our id.

    A brand's remembers the score that its papers ask for, because a vetting comes without papers.
    """
    if _LASTING.fullmatch(known):
        return known
    drawn = f"SIM-{_LETTERS.get(kind, 'N')}-{draw(id, 'lasting id', 2**64):016X}"
    return f"{drawn}-S{score}" if kind is SubmissionKind.BRAND and score is not None else drawn


def score_in(lasting: str) -> int | None:
    """Return the score that a brand's lasting id remembers."""
    found = _LASTING.fullmatch(lasting)
    return min(100, int(found[1])) if found and found[1] else None
