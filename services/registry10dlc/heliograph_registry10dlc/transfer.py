"""Papers out of a project and into another one: the use cases."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph_kit.errors import ResourceExhausted
from heliograph_kit.ids import derived_id
from heliograph_registry10dlc import papers
from heliograph_registry10dlc.domain import GONE, Kind, Registration
from heliograph_registry10dlc.papers import LARGEST, MOST_PAPERS, Paper, Papers


class PapersTooLarge(ResourceExhausted):
    """What a project has is more than a document holds."""

    retry_after = None

    def __init__(self) -> None:
        """Say how large a document may be."""
        super().__init__(f"a document holds at most {MOST_PAPERS:,} registrations and {LARGEST:,} bytes; there is more")


class Listing(Protocol):
    """Reads all registrations of a kind, in any order."""

    def __call__(self, project: str, kind: Kind) -> Awaitable[Sequence[Registration]]:
        """Return them."""
        ...


class CreateBrand(Protocol):
    """Creates a brand as a draft; the same request id returns the first one."""

    def __call__(
        self, project: str, fields: Mapping[str, str], *, external_reference: str, request_id: str
    ) -> Awaitable[Registration]:
        """Return the brand."""
        ...


class CreateUseCaseDraft(Protocol):
    """Creates a use case as a draft of a brand in whatever state; the same request id returns the first one."""

    def __call__(
        self, project: str, brand_id: str, fields: Mapping[str, str], *, external_reference: str, request_id: str
    ) -> Awaitable[Registration]:
        """Return the use case."""
        ...


@dataclass(frozen=True)
class Imported:
    """What came of a document: ids, and words about what is left out."""

    brands: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Transfer:
    """Exports and imports papers.

    An imported use case is an *imported draft*: it is created although its brand, a draft itself, is not verified.
    CreateUseCase refuses that, so that nobody fills a form in vain; here it is filled already, and refusing would make
    whoever moves wait for a registrar between two halves of one document. Nothing is let through by it: a draft sends
    nothing, and submitting checks the brand (it must be in force by then) and takes its vetting score of that moment.
    """

    def __init__(
        self, *, listing: Listing, create_brand: CreateBrand, create_use_case_draft: CreateUseCaseDraft
    ) -> None:
        """Take how to read and to create."""
        self._listing = listing
        self._create_brand = create_brand
        self._create_use_case_draft = create_use_case_draft

    async def export(self, project: str) -> bytes:
        """Return the document of a project: what it has, without what is deleted, oldest first.

        Of a brand with a change that is not in force the change is written: it is what would be handed in next.

        Raises:
            PapersTooLarge: it has more than a document holds.
        """
        brands = await self._of(project, Kind.BRAND)
        keys = {brand.id: f"brand-{n}" for n, brand in enumerate(brands, 1)}
        use_cases = [each for each in await self._of(project, Kind.USE_CASE) if each.parent_id in keys]
        toll_free = await self._of(project, Kind.TOLL_FREE)
        document = papers.write(
            Papers(
                tuple(_paper(brand, keys[brand.id]) for brand in brands),
                tuple(_paper(each, f"use-case-{n}", keys[each.parent_id]) for n, each in enumerate(use_cases, 1)),
                tuple(_paper(each, f"toll-free-{n}") for n, each in enumerate(toll_free, 1)),
            )
        )
        if len(document) > LARGEST or len(brands) + len(use_cases) + len(toll_free) > MOST_PAPERS:
            raise PapersTooLarge
        return document

    async def take_in(self, project: str, document: bytes) -> Imported:
        """Create drafts from a document; nothing when anything is wrong with it.

        Safe to repeat, also after it broke off in the middle: the request ids are made of what the document says, so the
        same document creates nothing twice. Papers that say the same within one document are told apart by their order.

        Raises:
            InvalidArgument: with all that is wrong.
        """
        found = papers.read(document)
        seen: Counter[str] = Counter()
        made: dict[str, tuple[str, str]] = {}
        for paper in found.brands:
            request_id = _request_id(Kind.BRAND, paper, "", seen)
            brand = await self._create_brand(
                project, paper.fields, external_reference=paper.external_reference, request_id=request_id
            )
            made[paper.key] = (brand.id, request_id)
        use_cases: list[str] = []
        for paper in found.use_cases:
            brand_id, brand_request = made[paper.brand]
            use_case = await self._create_use_case_draft(
                project,
                brand_id,
                paper.fields,
                external_reference=paper.external_reference,
                request_id=_request_id(Kind.USE_CASE, paper, brand_request, seen),
            )
            use_cases.append(use_case.id)
        left_out = [
            f"toll-free registration {paper.key}: it belongs to a number, and numbers do not move; register yours anew"
            for paper in found.toll_free
        ]
        return Imported(tuple(brand_id for brand_id, _ in made.values()), tuple(use_cases), tuple(left_out))

    async def _of(self, project: str, kind: Kind) -> list[Registration]:
        found = [each for each in await self._listing(project, kind) if each.state not in GONE]
        return sorted(found, key=lambda each: (each.create_time, each.id))


def _paper(registration: Registration, key: str, brand: str = "") -> Paper:
    fields = registration.draft_fields or registration.fields
    return Paper(key, dict(fields), registration.external_reference, registration.state, brand)


def _request_id(kind: Kind, paper: Paper, brand: str, seen: Counter[str]) -> str:
    # Neither key nor state: both may differ between two exports of the same papers.
    fields = json.dumps(sorted(paper.fields.items()))
    content = derived_id(papers.FORMAT, kind, brand, paper.external_reference, fields)
    seen[content] += 1
    return derived_id(content, str(seen[content]))
