"""`heliograph.registry10dlc.v1.DeskService`: an operator decides where the registrar is `manual`."""

from __future__ import annotations

from datetime import UTC, datetime

from heliograph.registry10dlc.v1 import desk_pb2, desk_pb2_grpc
from heliograph_channels import Decision, DecisionState, Finding, Registrar
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import parse_pattern
from heliograph_kit.paging import next_token, page_of
from heliograph_registry10dlc.domain import Complain, Event
from heliograph_registry10dlc.domain.numbers import check_number
from heliograph_registry10dlc.errors import COLLECTION, RegistrarDecides
from heliograph_registry10dlc.events import name_of
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.service.decisions import Decisions, decidable, waiting_states
from heliograph_registry10dlc.servicers.reading import Context
from heliograph_registry10dlc.servicers.writing import kind_to_proto, state_to_proto

_KIND_OF = {collection: kind for kind, collection in COLLECTION.items()}
_REFUSALS = ("REJECTED", "DECLINED", "SUSPENDED", "FAILED")
_MAX_CAUSE = 60
_MAX_WORDS = 1000
_MAX_FINDINGS = 50
_MAX_SCORE = 100


class DeskServicer(desk_pb2_grpc.DeskServiceServicer):
    """Answers DeskService."""

    def __init__(self, book: Book, decisions: Decisions, registrar: Registrar) -> None:
        """Take the use cases, and the registrar, for whether it leaves decisions to an operator."""
        self._book = book
        self._decisions = decisions
        self._registrar = registrar

    async def ListSubmissions(
        self, request: desk_pb2.ListSubmissionsRequest, context: Context
    ) -> desk_pb2.ListSubmissionsResponse:
        """Return what waits, oldest first."""
        page = page_of("ListSubmissions", request.page_size, request.page_token)
        after = (datetime.fromisoformat(page.after[0]), page.after[1]) if page.after else None
        async with self._book.database.transaction() as conn:
            found = await self._book.stores.registrations.waiting(conn, waiting_states(), after, page.size + 1)
        shown = found[: page.size]
        token = ""
        if len(found) > page.size and shown[-1].submitted_at is not None:
            token = next_token("ListSubmissions", [shown[-1].submitted_at.isoformat(), shown[-1].id])
        return desk_pb2.ListSubmissionsResponse(
            submissions=[
                desk_pb2.PendingSubmission(
                    resource=name_of(one.project, one.kind, one.id),
                    kind=kind_to_proto(one.kind),
                    state=state_to_proto(one.state),
                    fields=one.draft_fields if one.state == "UPDATE_PENDING" else one.fields,
                    submit_time=timestamp(one.submitted_at) if one.submitted_at else None,
                    reference=one.reference,
                    decisions=decidable(one),
                )
                for one in shown
            ],
            next_page_token=token,
        )

    async def DecideSubmission(
        self, request: desk_pb2.DecideSubmissionRequest, context: Context
    ) -> desk_pb2.DecideSubmissionResponse:
        """Write a decision down."""
        named = parse_pattern(request.resource, "projects/{project}/{collection}/{id}", field="resource")
        violations = Violations()
        kind = _KIND_OF.get(named["collection"])
        if kind is None:
            violations.add("resource", f"must be one of {', '.join(_KIND_OF)}", "UNKNOWN_CHOICE")
        _check(request, violations.add)
        violations.check()
        assert kind is not None
        if not self._registrar.decides_by_operator:
            raise RegistrarDecides(self._registrar.name)
        current = await self._book.read(named["project"], kind, named["id"])
        decision = Decision(
            reference=request.reference,
            state=DecisionState(request.decision),
            # Never before what it decides about, whatever this machine's clock says.
            at=max(self._book.clock.now(), current.update_time),
            cause=request.cause,
            words=request.words,
            findings=tuple(Finding(one.field, one.cause or request.cause, one.words) for one in request.findings),
            score=request.score if request.decision == Event.SCORED or request.score else None,
            number=request.number,
            expires_at=request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None,
        )
        done = await self._decisions.by_hand(named["project"], kind, named["id"], decision)
        return desk_pb2.DecideSubmissionResponse(state=state_to_proto(done.state))


def _check(request: desk_pb2.DecideSubmissionRequest, complain: Complain) -> None:
    known = [state.value for state in DecisionState]
    if request.decision not in known:
        complain("decision", f"must be one of {', '.join(known)}", "UNKNOWN_CHOICE")
    if request.decision in _REFUSALS and not request.cause:
        complain("cause", "a refusal needs one, for example ATTRIBUTES_MISMATCH", "REQUIRED")
    if len(request.cause) > _MAX_CAUSE:
        complain("cause", f"must be at most {_MAX_CAUSE} characters", "INVALID_LENGTH")
    if len(request.words) > _MAX_WORDS:
        complain("words", f"must be at most {_MAX_WORDS} characters", "INVALID_LENGTH")
    if len(request.findings) > _MAX_FINDINGS:
        complain("findings", f"must be at most {_MAX_FINDINGS}", "TOO_MANY")
    if not 0 <= request.score <= _MAX_SCORE:
        complain("score", f"must be 0 to {_MAX_SCORE}", "OUT_OF_RANGE")
    if request.decision == Event.BOUGHT:
        check_number(
            request.number, "LONG_CODE", (), "", lambda _path, words, reason: complain("number", words, reason)
        )
    elif request.number:
        complain("number", "only BOUGHT comes with a number", "NOT_ALLOWED")
