"""The states of the USA: brands are told with two letters, toll-free verifications with the name. Pure."""

from __future__ import annotations

__all__ = ["state_code", "state_name"]

_NAMES = dict(
    line.split(" ", 1)
    for line in """\
AL Alabama
AK Alaska
AZ Arizona
AR Arkansas
CA California
CO Colorado
CT Connecticut
DE Delaware
DC District of Columbia
FL Florida
GA Georgia
HI Hawaii
ID Idaho
IL Illinois
IN Indiana
IA Iowa
KS Kansas
KY Kentucky
LA Louisiana
ME Maine
MD Maryland
MA Massachusetts
MI Michigan
MN Minnesota
MS Mississippi
MO Missouri
MT Montana
NE Nebraska
NV Nevada
NH New Hampshire
NJ New Jersey
NM New Mexico
NY New York
NC North Carolina
ND North Dakota
OH Ohio
OK Oklahoma
OR Oregon
PA Pennsylvania
RI Rhode Island
SC South Carolina
SD South Dakota
TN Tennessee
TX Texas
UT Utah
VT Vermont
VA Virginia
WA Washington
WV West Virginia
WI Wisconsin
WY Wyoming
AS American Samoa
GU Guam
MP Northern Mariana Islands
PR Puerto Rico
VI US Virgin Islands""".splitlines()
)
_CODES = {name.lower(): code for code, name in _NAMES.items()}


def state_code(text: str) -> str | None:
    """Return the two letters of a state, given as such or by name; None when there is no such state."""
    given = " ".join(text.split())
    return given.upper() if given.upper() in _NAMES else _CODES.get(given.lower())


def state_name(text: str) -> str | None:
    """Return the name of a state, given as such or with two letters; None when there is no such state."""
    code = state_code(text)
    return _NAMES[code] if code else None
