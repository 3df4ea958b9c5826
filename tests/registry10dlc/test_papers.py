"""Papers that move: the document, all that may be wrong with it, and creating each draft once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.registry10dlc.v1 import papers_pb2, papers_pb2_grpc
from heliograph_kit.errors import InvalidArgument
from heliograph_kit.rpc import violations_of
from heliograph_registry10dlc import papers
from heliograph_registry10dlc.domain import Kind, Registration, State
from heliograph_registry10dlc.papers import FORMAT, LARGEST, Paper, Papers
from heliograph_registry10dlc.servicers.papers import PapersServicer
from heliograph_registry10dlc.transfer import Imported, PapersTooLarge, Transfer
from tests.registry10dlc.papers import BRAND, USE_CASE
from tests.registry10dlc.served import serving

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHOP = "shop"


class Shelf:
    """What the registry does for papers: reads, and creates drafts once for each request id."""

    def __init__(self, *registrations: Registration) -> None:
        self.all = list(registrations)
        self.by_request: dict[str, Registration] = {}
        self.breaks_after = 10**9

    async def listing(self, project: str, kind: Kind) -> Sequence[Registration]:
        return [each for each in reversed(self.all) if (each.project, each.kind) == (project, kind)]

    async def create_brand(
        self, project: str, fields: Mapping[str, str], *, external_reference: str, request_id: str
    ) -> Registration:
        return self._create(project, Kind.BRAND, "", fields, external_reference, request_id)

    async def create_use_case_draft(
        self, project: str, brand_id: str, fields: Mapping[str, str], *, external_reference: str, request_id: str
    ) -> Registration:
        assert any(each.id == brand_id and each.kind is Kind.BRAND for each in self.all)
        return self._create(project, Kind.USE_CASE, brand_id, fields, external_reference, request_id)

    def _create(
        self, project: str, kind: Kind, parent: str, fields: Mapping[str, str], reference: str, request_id: str
    ) -> Registration:
        assert 0 < len(request_id) <= 64
        if request_id not in self.by_request:
            if len(self.all) >= self.breaks_after:
                raise ConnectionError
            made = a_registration(len(self.all), kind, project, fields, parent, external_reference=reference)
            self.all.append(made)
            self.by_request[request_id] = made
        return self.by_request[request_id]

    @property
    def transfer(self) -> Transfer:
        return Transfer(
            listing=self.listing, create_brand=self.create_brand, create_use_case_draft=self.create_use_case_draft
        )


def a_registration(
    n: int, kind: Kind = Kind.BRAND, project: str = SHOP, fields: Mapping[str, str] | None = None, parent: str = "",
    state: State = State.DRAFT, **changes: Any,
) -> Registration:  # fmt: skip
    time = NOON + timedelta(seconds=n)
    return Registration(project, f"r{n}", kind, state, fields or {}, time, time, parent_id=parent, **changes)


def a_shop() -> Shelf:
    return Shelf(
        a_registration(0, fields=BRAND, state=State.VERIFIED, external_reference="B-1", vetting_score=80),
        a_registration(1, Kind.USE_CASE, fields=USE_CASE, parent="r0", state=State.APPROVED),
        a_registration(2, Kind.NUMBER, fields={"number": "+12065550100"}, parent="r1", state=State.READY),
        a_registration(3, Kind.TOLL_FREE, parent="r2", state=State.APPROVED),
        a_registration(4, fields=BRAND, state=State.DELETED),
        a_registration(5, Kind.USE_CASE, fields=USE_CASE, parent="r4", state=State.DELETED),
        a_registration(6, project="other", fields=BRAND),
    )


async def test_the_document_holds_what_there_is_without_numbers_scores_and_what_is_gone() -> None:
    document = json.loads(await a_shop().transfer.export(SHOP))
    assert document == {
        "format": "heliograph-10dlc-papers/1",
        "brands": [{"key": "brand-1", "fields": BRAND, "external_reference": "B-1", "state": "VERIFIED"}],
        "use_cases": [
            {
                "key": "use-case-1",
                "brand": "brand-1",
                "fields": USE_CASE,
                "external_reference": "",
                "state": "APPROVED",
            }
        ],
        "toll_free_registrations": [
            {"key": "toll-free-1", "fields": {}, "external_reference": "", "state": "APPROVED"}
        ],
    }


async def test_of_a_changed_brand_the_change_is_written() -> None:
    changed = {**BRAND, "contactInfo.dbaName": "New Name"}
    shelf = Shelf(replace(a_registration(0, fields=BRAND, state=State.UPDATE_PENDING), draft_fields=changed))
    assert papers.read(await shelf.transfer.export(SHOP)).brands[0].fields == changed


async def test_an_imported_document_is_drafts_and_repeated_it_creates_nothing() -> None:
    document = await a_shop().transfer.export(SHOP)
    here = Shelf()
    imported = await here.transfer.take_in("here", document)
    assert [(each.kind, each.state, each.project) for each in here.all] == [
        (Kind.BRAND, State.DRAFT, "here"),
        (Kind.USE_CASE, State.DRAFT, "here"),
    ]
    assert here.all[1].parent_id == here.all[0].id
    (left_out,) = imported.left_out
    assert "toll-free-1" in left_out
    assert "numbers do not move" in left_out
    assert imported == Imported((here.all[0].id,), (here.all[1].id,), (left_out,))
    assert await here.transfer.take_in("here", document) == imported
    assert len(here.all) == 2


async def test_what_says_the_same_twice_is_created_twice_and_no_more() -> None:
    twins = Papers(
        (Paper("a", BRAND), Paper("b", BRAND)), (Paper("c", USE_CASE, brand="b"), Paper("d", USE_CASE, brand="b"))
    )
    here = Shelf()
    imported = await here.transfer.take_in(SHOP, papers.write(twins))
    assert (len(set(imported.brands)), len(set(imported.use_cases))) == (2, 2)
    assert {each.parent_id for each in here.all if each.kind is Kind.USE_CASE} == {imported.brands[1]}
    assert await here.transfer.take_in(SHOP, papers.write(twins)) == imported


async def test_keys_and_states_do_not_make_other_papers() -> None:
    here = Shelf()
    await here.transfer.take_in(SHOP, papers.write(Papers((Paper("a", BRAND, state="DRAFT"),))))
    await here.transfer.take_in(SHOP, papers.write(Papers((Paper("z", BRAND, state="VERIFIED"),))))
    assert len(here.all) == 1


async def test_an_import_that_broke_off_goes_on_where_it_stood() -> None:
    document = await a_shop().transfer.export(SHOP)
    here = Shelf()
    here.breaks_after = 1
    with pytest.raises(ConnectionError):
        await here.transfer.take_in(SHOP, document)
    here.breaks_after = 10
    imported = await here.transfer.take_in(SHOP, document)
    assert len(here.all) == len(imported.brands) + len(imported.use_cases) == 2


@pytest.mark.parametrize(("count", "length"), [(1_001, 1), (900, 5_000)], ids=["registrations", "bytes"])
async def test_more_than_a_document_holds_is_not_exported(count: int, length: int) -> None:
    fields = {"companyInfo.city": "x" * length}
    with pytest.raises(PapersTooLarge):
        await Shelf(*(a_registration(n, fields=fields) for n in range(count))).transfer.export(SHOP)


def refused(document: object) -> set[tuple[str, str]]:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    here = Shelf()
    with pytest.raises(InvalidArgument) as caught:
        asyncio.run(here.transfer.take_in(SHOP, raw))
    assert here.all == []
    return {(violation.field, violation.reason) for violation in caught.value.violations}


def doc(**members: object) -> dict[str, object]:
    return {"format": FORMAT, **members}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(b" " * (LARGEST + 1), {("document", "TOO_LARGE")}, id="too large"),
        pytest.param(b"{", {("document", "INVALID_FORMAT")}, id="no JSON"),
        pytest.param(b"\xff\xfe", {("document", "INVALID_FORMAT")}, id="no UTF-8"),
        pytest.param(b"[" * 100_000, {("document", "INVALID_FORMAT")}, id="too deep"),
        pytest.param([], {("document.format", "UNKNOWN_FORMAT")}, id="no object"),
        pytest.param(
            {"format": "heliograph-10dlc-papers/2"}, {("document.format", "UNKNOWN_FORMAT")}, id="a later format"
        ),
        pytest.param(doc(cheese=1), {("document.cheese", "UNKNOWN_FIELD")}, id="a member of no format"),
        pytest.param(doc(brands={}), {("document.brands", "INVALID_TYPE")}, id="no list"),
        pytest.param(doc(brands=[1]), {("document.brands[0]", "INVALID_TYPE")}, id="no brand"),
        pytest.param(
            b'{"format": "heliograph-10dlc-papers/1", "brands": [], "brands": []}',
            {("document", "DUPLICATE")},
            id="a member twice",
        ),
        pytest.param(
            doc(brands=[{"key": "a b", "fields": {}, "number": "1"}]),
            {("document.brands[0].key", "INVALID_FORMAT"), ("document.brands[0].number", "UNKNOWN_FIELD")},
            id="a bad key and a member of no brand",
        ),
        pytest.param(
            doc(brands=[{"key": "a", "fields": {}}, {"key": "a", "fields": {}}]),
            {("document.brands[1].key", "DUPLICATE")},
            id="a key twice",
        ),
        pytest.param(
            doc(use_cases=[{"key": "u", "brand": "b", "fields": {}}]),
            {("document.use_cases[0].brand", "UNKNOWN_BRAND")},
            id="of a brand that is not there",
        ),
        pytest.param(
            doc(brands=[{"key": "a", "brand": "b", "fields": {}}]),
            {("document.brands[0].brand", "UNKNOWN_FIELD")},
            id="a brand of a brand",
        ),
        pytest.param(
            doc(
                brands=[
                    {"key": "a", "fields": {"companyInfo.legalType": "CLUB", "shoeSize": "44", "companyInfo.city": 1}}
                ]
            ),
            {
                ("document.brands[0].fields.companyInfo.legalType", "UNKNOWN_CHOICE"),
                ("document.brands[0].fields.shoeSize", "UNKNOWN_FIELD"),
                ("document.brands[0].fields.companyInfo.city", "INVALID_TYPE"),
            },
            id="all that is wrong with the fields",
        ),
        pytest.param(
            doc(brands=[{"key": "a", "fields": {"companyInfo.city": "a\x00b"}, "external_reference": "\ud800"}]),
            {
                ("document.brands[0].fields.companyInfo.city", "INVALID_FORMAT"),
                ("document.brands[0].external_reference", "INVALID_FORMAT"),
            },
            id="what cannot be stored",
        ),
        pytest.param(
            doc(brands=[{"key": "a", "fields": {}, "external_reference": "x" * 257}]),
            {("document.brands[0].external_reference", "INVALID_LENGTH")},
            id="a long reference",
        ),
        pytest.param(
            doc(brands=[{"key": f"k{n}", "fields": {}} for n in range(1001)]), {("document", "TOO_MANY")}, id="too many"
        ),
        pytest.param(
            doc(brands=[{"key": "a", "fields": []}], use_cases=[{"key": 1, "brand": "a", "fields": {}}], x=1),
            {
                ("document.x", "UNKNOWN_FIELD"),
                ("document.brands[0].fields", "INVALID_TYPE"),
                ("document.use_cases[0].key", "INVALID_TYPE"),
                ("document.use_cases[0].key", "INVALID_FORMAT"),
            },
            id="all of it at once",
        ),
    ],
)
def test_all_that_is_wrong_is_told_and_nothing_is_created(document: object, expected: set[tuple[str, str]]) -> None:
    assert refused(document) == expected


def test_of_very_much_that_is_wrong_the_beginning_is_told_and_how_much_more() -> None:
    bad = doc(brands=[{"key": f"k{n}", "fields": {"shoeSize": "44"}} for n in range(900)])
    with pytest.raises(InvalidArgument) as caught:
        papers.read(json.dumps(bad).encode())
    told = caught.value.violations
    assert (told[-1].field, told[-1].reason) == ("document", "MORE")
    assert told[-1].description == f"and {900 - len(told) + 1} more"
    assert sum(len(v.field) + len(v.description) + len(v.reason) for v in told) < 5_000


# Beside other work on two cores, how long an example takes says nothing.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=80)
keys = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
FREE = {Kind.BRAND: "companyInfo.city", Kind.USE_CASE: "campaignInfo.optInKeyword"}


@st.composite
def some_fields(draw: st.DrawFn, kind: Kind) -> dict[str, str]:
    complete = BRAND if kind is Kind.BRAND else USE_CASE
    left = draw(st.sets(st.sampled_from(sorted(complete))))
    fields = {path: value for path, value in complete.items() if path not in left}
    if FREE[kind] not in left:
        fields[FREE[kind]] = draw(words.filter(lambda text: not text or text.strip()))
    return fields


@st.composite
def some_papers(draw: st.DrawFn) -> Papers:
    def paper(kind: Kind, key: str, brand: str = "") -> Paper:
        fields = {} if kind is Kind.TOLL_FREE else draw(some_fields(kind))
        return Paper(key, fields, draw(words), draw(st.sampled_from(State)), brand)

    brands = tuple(paper(Kind.BRAND, key) for key in draw(st.lists(keys, max_size=4, unique=True)))
    use_cases = tuple(
        paper(Kind.USE_CASE, key, draw(st.sampled_from(brands)).key)
        for key in (draw(st.lists(keys, max_size=4, unique=True)) if brands else [])
    )
    toll_free = tuple(paper(Kind.TOLL_FREE, key) for key in draw(st.lists(keys, max_size=2, unique=True)))
    return Papers(brands, use_cases, toll_free)


@given(some_papers())
@settings(UNHURRIED)
def test_what_is_written_is_read_as_it_was(document: Papers) -> None:
    assert papers.read(papers.write(document)) == document
    assert papers.write(papers.read(papers.write(document))) == papers.write(document)


def shape(document: Papers) -> list[tuple[object, ...]]:
    """What a document says, without keys and states."""
    brands = {paper.key: (paper.external_reference, paper.fields) for paper in document.brands}
    return [
        *brands.values(),
        *((paper.external_reference, paper.fields, brands[paper.brand]) for paper in document.use_cases),
    ]


@given(some_papers())
@settings(UNHURRIED, max_examples=50)
def test_what_moves_there_and_back_says_the_same(document: Papers) -> None:
    async def there_and_back() -> None:
        here, there = Shelf(), Shelf()
        await here.transfer.take_in(SHOP, papers.write(document))
        exported = await here.transfer.export(SHOP)
        assert shape(papers.read(exported)) == shape(document)
        await there.transfer.take_in(SHOP, exported)
        assert await there.transfer.export(SHOP) == exported
        count = len(there.all)
        await there.transfer.take_in(SHOP, exported)
        assert len(there.all) == count

    asyncio.run(there_and_back())


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
anything = st.fixed_dictionaries(
    {"format": st.just(FORMAT)},
    optional={
        name: json_values | st.lists(st.fixed_dictionaries({}, optional={
            "key": json_values | keys, "brand": json_values | keys, "fields": json_values, "state": json_values,
            "external_reference": json_values,
        }), max_size=3)
        for name in papers.LISTS.values()
    },
)  # fmt: skip


@given(anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
@settings(UNHURRIED)
def test_whatever_comes_is_read_or_refused(document: bytes) -> None:
    try:
        found = papers.read(document)
    except InvalidArgument as error:
        refusal = error
    else:
        assert papers.read(papers.write(found)) == found
        return
    assert refusal.violations
    assert all(violation.field.startswith("document") for violation in refusal.violations)


async def test_the_calls_carry_a_document_out_and_in_and_tell_every_violation() -> None:
    shelf = a_shop()
    name = "heliograph.registry10dlc.v1.PapersService"
    add = papers_pb2_grpc.add_PapersServiceServicer_to_server
    async with serving(add, PapersServicer(shelf.transfer), name) as opened:
        stub: papers_pb2_grpc.PapersServiceAsyncStub = papers_pb2_grpc.PapersServiceStub(opened)
        exported = await stub.ExportPapers(papers_pb2.ExportPapersRequest(parent="projects/shop"))
        request = papers_pb2.ImportPapersRequest(parent="projects/here", document=exported.document)
        imported = await stub.ImportPapers(request)
        assert imported.brands[0].startswith("projects/here/brands/")
        assert imported.use_cases[0].startswith("projects/here/useCases/")
        assert len(imported.left_out) == 1
        bad = json.dumps(doc(brands=[{"key": f"k{n}", "fields": {"shoeSize": "\ud800"}} for n in range(900)]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ImportPapers(papers_pb2.ImportPapersRequest(parent="projects/here", document=bad.encode()))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert violations_of(caught.value)[-1] == ("document", "MORE")
