"""Creating, changing and evaluating segments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Aborted
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox
from heliograph_segments import events
from heliograph_segments.domain.checking import MAX_DISPLAY_NAME, SourceTrouble, check_rules, check_sources
from heliograph_segments.domain.endpoints import Endpoint, check_id, check_text, endpoint_key
from heliograph_segments.domain.problems import Problem, under
from heliograph_segments.domain.segments import Group, Library, Rules, SegmentReference
from heliograph_segments.errors import (
    EndpointNotFound,
    SegmentCycle,
    SegmentNotFound,
    SegmentTooLarge,
    SourceSegmentMissing,
    refuse,
)
from heliograph_segments.index.evaluation import ClauseCount
from heliograph_segments.service.explaining import Explanation, explain
from heliograph_segments.service.reading import Counted, Question, Reader
from heliograph_segments.store import endpoint_reading as endpoint_store
from heliograph_segments.store import imported, requests
from heliograph_segments.store import segments as store
from heliograph_segments.store.requests import Request
from heliograph_segments.store.segments import Segment

MAX_SAMPLE = 100
MAX_TAGS = 50


@dataclass(frozen=True)
class Draft:
    """What a caller says a segment is."""

    display_name: str
    rules: Rules
    tags: Mapping[str, str]


class Segments:
    """Use cases over segments."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock, reader: Reader) -> None:
        """Take the record, the announcements, the time, and what knows who is in a segment."""
        self._reader = reader
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def create(self, project: str, draft: Draft, request: Request, found: Sequence[Problem] = ()) -> Segment:
        """Store a segment, version 1, and announce it. The same request again returns the first answer.

        `found` are problems that reading the request met already; they are told together with all others.

        Raises:
            InvalidArgument: with everything that is wrong, sources included.
            RequestIdReused: the request id was used with other content.
        """
        refuse([*found, *_check_draft(draft, {"display_name", "rules", "tags"})])

        async def work(conn: AsyncConnection) -> Segment:
            now, segment_id = self._clock.now(), new_id()
            before = await requests.claim(conn, project, request, segment_id, now)
            if before is not None:
                return await _existing(conn, project, before, 1)
            await store.lock_project(conn, project)
            await _check_references(conn, project, draft.rules, segment_id)
            segment = Segment(project, segment_id, 1, draft.display_name, draft.rules, draft.tags, now, now)
            await store.insert(conn, segment)
            await self._outbox.add(conn, events.segment_updated(project, segment_id, 1))
            return segment

        return await self._database.run(work)

    async def get(self, project: str, segment_id: str, version: int = 0) -> Segment:
        """Return a version of a segment, the latest for 0.

        Raises:
            SegmentNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await _existing(conn, project, segment_id, version)

    async def page(self, project: str, count: int, after: tuple[datetime, str] | None) -> Sequence[Segment]:
        """Return up to `count` segments behind a position, newest first, in their latest versions."""
        async with self._database.transaction() as conn:
            return await store.page(conn, project, count, after)

    async def update(
        self,
        project: str,
        segment_id: str,
        draft: Draft,
        fields: Collection[str],
        expected: int,
        found: Sequence[Problem] = (),
    ) -> Segment:
        """Add a version that differs in the given fields (`display_name`, `rules`) and announce it.

        Raises:
            InvalidArgument: with everything that is wrong.
            SegmentNotFound: there is no such segment.
            Aborted: `expected` is not 0 and not the latest version.
        """
        refuse([*found, *_check_draft(draft, fields)])

        async def work(conn: AsyncConnection) -> Segment:
            await store.lock_project(conn, project)
            latest = await _existing(conn, project, segment_id, 0)
            if expected and expected != latest.version:
                raise Aborted(f"the latest version is {latest.version}; read the segment again", resource=segment_id)
            if latest.rules.imported and "rules" in fields:
                words = "an imported segment has no rules; another import makes another version"
                refuse([Problem("segment.rules", "IMMUTABLE", words)])
            changed = replace(
                latest,
                version=latest.version + 1,
                display_name=draft.display_name if "display_name" in fields else latest.display_name,
                rules=draft.rules if "rules" in fields else latest.rules,
                updated_at=self._clock.now(),
            )
            await _check_references(conn, project, changed.rules, segment_id)
            await store.add_version(conn, changed)
            await self._outbox.add(conn, events.segment_updated(project, segment_id, changed.version))
            return changed

        return await self._database.run(work)

    async def delete(self, project: str, segment_id: str) -> Segment:
        """Delete a segment with all versions, announce it, and return it as it was.

        Raises:
            SegmentNotFound: there is none.
        """

        async def work(conn: AsyncConnection) -> Segment:
            await store.lock_project(conn, project)
            segment = await _existing(conn, project, segment_id, 0)
            await imported.forget_segment(conn, project, segment_id)
            await store.delete(conn, project, segment_id)
            await self._outbox.add(conn, events.segment_deleted(project, segment_id))
            return segment

        return await self._database.run(work)

    async def count(self, project: str, asked: str | Rules, found: Sequence[Problem] = ()) -> Counted:
        """Count the members of a stored segment (by id) or of rules.

        Raises:
            InvalidArgument, SegmentNotFound, SegmentCycle, SourceSegmentMissing, SegmentTooLarge.
        """
        return await self._reader.count(await self._asked(project, asked, found))

    async def clause_counts(
        self, project: str, asked: str | Rules, found: Sequence[Problem] = ()
    ) -> tuple[Counted, Sequence[ClauseCount]]:
        """Count the members, and for every clause who matches it and who it leaves.

        Raises:
            InvalidArgument, SegmentNotFound, SegmentCycle, SourceSegmentMissing, SegmentTooLarge.
            IndexNotLoaded: the index of the project is too large for the memory.
        """
        question = await self._asked(project, asked, found)
        clauses = await self._reader.clause_counts(question)
        return await self._reader.count(question), clauses

    async def sample(
        self, project: str, asked: str | Rules, size: int, found: Sequence[Problem] = ()
    ) -> Sequence[Endpoint]:
        """Return some members of a stored segment (by id) or of rules, ascending by ordinal.

        Raises:
            InvalidArgument, SegmentNotFound, SegmentCycle, SourceSegmentMissing, SegmentTooLarge.
        """
        problems = list(found)
        if not 1 <= size <= MAX_SAMPLE:
            problems.append(Problem("sample_size", "OUT_OF_RANGE", f"must be from 1 to {MAX_SAMPLE}"))
        ordinals = await self._reader.sample(await self._asked(project, asked, problems), size)
        async with self._database.transaction() as conn:
            return await endpoint_store.read_by_ordinal(conn, project, ordinals)

    async def explain(
        self, project: str, asked: str | Rules, endpoint_id: str, found: Sequence[Problem] = ()
    ) -> Explanation:
        """Tell which clauses hold for one endpoint and why, by the reference evaluator over the record.

        Raises:
            InvalidArgument, SegmentNotFound, SegmentCycle, SourceSegmentMissing, SegmentTooLarge.
            EndpointNotFound: there is no such endpoint.
        """
        question = await self._asked(project, asked, [*found, *check_id(endpoint_id)])
        async with self._database.transaction() as conn:
            endpoints = await endpoint_store.read_by_key(conn, project, [endpoint_key(endpoint_id)])
        if not endpoints:
            raise EndpointNotFound(project, endpoint_id)
        listings = await self._reader.listings(question)
        return explain(question.rules, endpoints[0], question.now, question.library, listings)

    async def versions(self, project: str, segment_id: str, count: int, before: int) -> Sequence[Segment]:
        """Return up to `count` versions of a segment older than `before` (0: all), newest first.

        Raises:
            SegmentNotFound: there is no such segment.
        """
        async with self._database.transaction() as conn:
            await _existing(conn, project, segment_id, 0)
            return await store.versions(conn, project, segment_id, count, before)

    async def _asked(self, project: str, asked: str | Rules, found: Sequence[Problem]) -> Question:
        async with self._database.transaction() as conn:
            if isinstance(asked, str):
                refuse(found)
                rules = (await _existing(conn, project, asked, 0)).rules
                return await question_of(conn, project, rules, self._clock.now(), own_id=asked)
            refuse([*found, *under("rules", check_rules(asked))])
            await _check_references(conn, project, asked, None, path="rules")
            return await question_of(conn, project, asked, self._clock.now(), own_id=None)


async def question_of(
    conn: AsyncConnection, project: str, rules: Rules, now: datetime, *, own_id: str | None
) -> Question:
    """Return the question who is meant by rules, with their sources as they are stored now.

    Raises:
        SegmentCycle, SourceSegmentMissing, SegmentTooLarge: the sources changed since the segment was stored.
    """
    library = await store.library(conn, project, rules)
    try:
        check_sources(rules, library, own_id=own_id)
    except SourceTrouble as trouble:
        way = " > ".join(step.segment_id for step in trouble.path)
        match trouble.reason:
            case "CYCLE":
                raise SegmentCycle("the segment leads back to itself", path=way) from None
            case "MISSING":
                raise SourceSegmentMissing("a source segment does not exist any more", path=way) from None
            case _:
                raise SegmentTooLarge("the segment with its sources has too many conditions", path=way) from None
    return Question(project, rules, library, now)


async def _existing(conn: AsyncConnection, project: str, segment_id: str, version: int) -> Segment:
    segment = await store.get(conn, project, segment_id, version)
    if segment is None:
        raise SegmentNotFound(project, segment_id, version)
    return segment


def _check_draft(draft: Draft, fields: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    if "display_name" in fields:
        if not draft.display_name:
            problems.append(Problem("segment.display_name", "REQUIRED", "is required"))
        problems += check_text("segment.display_name", draft.display_name, MAX_DISPLAY_NAME)
    if "rules" in fields:
        problems += under("segment.rules", check_rules(draft.rules))
    if "tags" in fields:
        problems += _check_tags(draft.tags)
    return problems


def _check_tags(tags: Mapping[str, str]) -> list[Problem]:
    problems: list[Problem] = []
    if len(tags) > MAX_TAGS:
        problems.append(Problem("segment.tags", "TOO_MANY", f"must have at most {MAX_TAGS} tags"))
    for key, value in tags.items():
        if not key or key.startswith("aws:"):
            problems.append(Problem(f"segment.tags[{key}]", "MALFORMED", "a key must not be empty or begin with aws:"))
        problems += check_text(f"segment.tags[{key}]", key, 128) or check_text(f"segment.tags[{key}]", value, 256)
    return problems


async def _check_references(
    conn: AsyncConnection, project: str, rules: Rules, own_id: str | None, path: str = "segment.rules"
) -> None:
    library = await store.library(conn, project, rules)
    refuse(under(path, _source_problems(rules, library, own_id)))


_WORDS = {
    "CYCLE": ("SEGMENT_CYCLE", "leads back to the segment itself"),
    "MISSING": ("SOURCE_SEGMENT_MISSING", "does not exist, or a segment it is built on does not"),
    "TOO_LARGE": ("SEGMENT_TOO_LARGE", "has too many conditions with the segments it is built on"),
}


def _source_problems(rules: Rules, library: Library, own_id: str | None) -> list[Problem]:
    """Say of every source what is wrong with it, not of the first one only."""
    problems: list[Problem] = []
    for path, source in _sources(rules.groups, "groups"):
        alone = Rules(groups=(Group(sources=(source,)),))
        try:
            check_sources(alone, library, own_id=own_id)
        except SourceTrouble as trouble:
            reason, words = _WORDS[trouble.reason]
            problems.append(Problem(f"{path}.segment", reason, words))
    if not problems:
        try:
            check_sources(rules, library, own_id=own_id)
        except SourceTrouble as trouble:
            reason, words = _WORDS[trouble.reason]
            problems.append(Problem("groups", reason, words))
    return problems


def _sources(groups: Sequence[Group], path: str) -> Iterator[tuple[str, SegmentReference]]:
    for place, group in enumerate(groups):
        for number, source in enumerate(group.sources):
            yield f"{path}[{place}].source_segments[{number}]", source
        yield from _sources(group.groups, f"{path}[{place}].groups")
