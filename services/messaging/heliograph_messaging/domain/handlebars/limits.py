"""What a template may cost: bounds of its text when it is compiled, and of its work and output when it is rendered.

A bound that is passed is a mistake of the template (`DoesNotCompile`) or the failure of one recipient's message
(`RenderingFailed`), never an exception of another kind: nesting is bounded well below what Python's stack holds.
"""

from __future__ import annotations

from typing import Final

MAX_ERRORS: Final = 50
"""Mistakes told at once."""

MAX_CHARACTERS: Final = 800_000
"""Characters of one part: what its author may write (600,000, pinpoint-1 6.3), and room for marks at its links."""

MAX_TAGS: Final = 5_000
"""Expressions between braces in one part."""

MAX_BLOCKS: Final = 16
"""Blocks inside of blocks."""

MAX_BRANCHES: Final = 100
"""`{{else if ...}}` in one block, and in all blocks around one place together."""

MAX_SUBEXPRESSIONS: Final = 16
"""Parentheses inside of parentheses."""

MAX_SEGMENTS: Final = 20
"""Segments of one path."""

MAX_ARGUMENTS: Final = 50
"""Arguments of one helper, hash arguments counted too."""

MAX_NUMBER: Final = 10**15
"""The largest number, positive or negative, that is written in a template or comes out of a helper."""

MAX_PARTIALS: Final = 16
"""Inline partials that use each other, one inside the other."""

MAX_STATEMENTS: Final = 20_000
"""Nodes of the compiled template. A partial counts again for each kind of place it is used in."""

MAX_ITEMS: Final = 15
"""Items that `#each` goes through (pinpoint-1 6.5)."""

MAX_OUTPUT: Final = 1_000_000
"""Characters of one rendered part."""

MAX_WORK: Final = 5_000_000
"""Units of work of one rendering: about one for each character that a helper reads or writes."""

MAX_PAGE_WORK: Final = 50_000_000
"""Units of work of all renderings of a page together; when they are used up, the rest gets FAIR_WORK each."""

FAIR_WORK: Final = 50_000
"""Units of work that every rendering of a page gets, whatever the others did."""

STEP: Final = 20
"""Units of work of one node in a loop or partial, and of one call of a helper besides its characters."""

MAX_WIDTH: Final = 10_000
"""The widest text that `center`, `ljust` and `rjust` pad to."""
