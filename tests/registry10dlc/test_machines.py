"""The transition tables: every pair of state and event, for every actor, against a list written by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_registry10dlc.domain import FIRST_STATES, IN_FORCE, MACHINES, Actor, Event, Kind, State, move, states_of

U, R, C, O = "user", "registrar", "clock", "operator"  # noqa: E741
# from, event, to, who; as pinpoint-2 4.2 to 4.10 and 4.11 have it.
LEGAL: dict[Kind, str] = {
    Kind.BRAND: """
        DRAFT EDIT DRAFT UO
        REQUIRES_UPDATE EDIT REQUIRES_UPDATE UO
        VERIFIED EDIT VERIFIED UO
        DRAFT SUBMIT PENDING UO
        REQUIRES_UPDATE SUBMIT PENDING UO
        VERIFIED SUBMIT UPDATE_PENDING UO
        PENDING NEEDS_AUTHENTICATION REQUIRES_AUTHENTICATION RO
        PENDING VERIFIED VERIFIED RO
        REQUIRES_AUTHENTICATION VERIFIED VERIFIED RO
        UPDATE_PENDING VERIFIED VERIFIED RO
        SUSPENDED VERIFIED VERIFIED RO
        PENDING REJECTED REQUIRES_UPDATE RO
        REQUIRES_AUTHENTICATION REJECTED REQUIRES_UPDATE RO
        UPDATE_PENDING REJECTED VERIFIED RO
        RENEWAL_PENDING REJECTED VERIFIED RO
        PENDING DECLINED REJECTED RO
        REQUIRES_AUTHENTICATION DECLINED REJECTED RO
        REQUIRES_AUTHENTICATION LAPSED REQUIRES_UPDATE C
        VERIFIED SCORED VERIFIED RO
        UPDATE_PENDING SCORED UPDATE_PENDING RO
        RENEWAL_PENDING SCORED RENEWAL_PENDING RO
        SUSPENDED SCORED SUSPENDED RO
        EXPIRED SCORED EXPIRED RO
        VERIFIED RENEWAL_DUE VERIFIED C
        UPDATE_PENDING RENEWAL_DUE UPDATE_PENDING C
        VERIFIED RENEW RENEWAL_PENDING UO
        EXPIRED RENEW PENDING UO
        RENEWAL_PENDING RENEWED VERIFIED RO
        VERIFIED SUSPENDED SUSPENDED RO
        UPDATE_PENDING SUSPENDED SUSPENDED RO
        RENEWAL_PENDING SUSPENDED SUSPENDED RO
        VERIFIED EXPIRED EXPIRED ROC
        UPDATE_PENDING EXPIRED EXPIRED ROC
        RENEWAL_PENDING EXPIRED EXPIRED ROC
        SUSPENDED EXPIRED EXPIRED ROC
        DRAFT DELETE DELETED UO
        REQUIRES_UPDATE DELETE DELETED O
        REJECTED DELETE DELETED O
        VERIFIED DELETE DELETED O
        SUSPENDED DELETE DELETED O
        EXPIRED DELETE DELETED O
    """,
    Kind.VETTING: """
        PENDING SCORED SCORED RO
        PENDING FAILED FAILED RO
    """,
    Kind.USE_CASE: """
        DRAFT EDIT DRAFT UO
        REQUIRES_UPDATE EDIT REQUIRES_UPDATE UO
        APPROVED AMEND APPROVED UO
        RENEWAL_PENDING AMEND RENEWAL_PENDING UO
        DRAFT SUBMIT PENDING UO
        REQUIRES_UPDATE SUBMIT PENDING UO
        PENDING APPROVED APPROVED RO
        SUSPENDED APPROVED APPROVED RO
        PENDING REJECTED REQUIRES_UPDATE RO
        PENDING DECLINED REJECTED RO
        APPROVED RENEWAL_DUE APPROVED C
        APPROVED RENEW RENEWAL_PENDING UO
        EXPIRED RENEW PENDING UO
        RENEWAL_PENDING RENEWED APPROVED RO
        RENEWAL_PENDING REJECTED APPROVED RO
        APPROVED SUSPENDED SUSPENDED RO
        RENEWAL_PENDING SUSPENDED SUSPENDED RO
        APPROVED EXPIRED EXPIRED ROC
        RENEWAL_PENDING EXPIRED EXPIRED ROC
        SUSPENDED EXPIRED EXPIRED ROC
        DRAFT DELETE DELETED UO
        REQUIRES_UPDATE DELETE DELETED UO
        REJECTED DELETE DELETED UO
        APPROVED DELETE DELETED UO
        SUSPENDED DELETE DELETED UO
        EXPIRED DELETE DELETED UO
    """,
    Kind.NUMBER: """
        ORDERED BOUGHT UNASSOCIATED RO
        ORDERED FAILED FAILED RO
        UNASSOCIATED ACTIVATE READY URO
        UNASSOCIATED ASSOCIATE PENDING URO
        READY CONVERT CONVERTING UO
        PENDING READY READY RO
        CONVERTING READY READY RO
        PENDING REJECTED UNASSOCIATED RO
        CONVERTING REJECTED UNASSOCIATED RO
        PENDING DISASSOCIATE DISASSOCIATING UO
        CONVERTING DISASSOCIATE DISASSOCIATING UO
        READY DISASSOCIATE DISASSOCIATING UO
        SUSPENDED DISASSOCIATE DISASSOCIATING UO
        DISASSOCIATING DETACHED UNASSOCIATED RO
        READY STOPPED SUSPENDED ROC
        SUSPENDED RESUMED READY ROC
        UNASSOCIATED RELEASE RELEASED UO
        PENDING RELEASE RELEASED UO
        CONVERTING RELEASE RELEASED UO
        READY RELEASE RELEASED UO
        SUSPENDED RELEASE RELEASED UO
        DISASSOCIATING RELEASE RELEASED UO
    """,
    Kind.TOLL_FREE: """
        DRAFT EDIT DRAFT UO
        REQUIRES_UPDATE EDIT REQUIRES_UPDATE UO
        DRAFT SUBMIT PENDING UO
        REQUIRES_UPDATE SUBMIT PENDING UO
        PENDING APPROVED APPROVED RO
        SUSPENDED APPROVED APPROVED RO
        PENDING REJECTED REQUIRES_UPDATE RO
        PENDING DECLINED REJECTED RO
        APPROVED SUSPENDED SUSPENDED RO
        DRAFT CLOSE CLOSED UO
        PENDING CLOSE CLOSED UO
        REQUIRES_UPDATE CLOSE CLOSED UO
        REJECTED CLOSE CLOSED UO
        APPROVED CLOSE CLOSED UO
        SUSPENDED CLOSE CLOSED UO
        DRAFT DELETE DELETED UO
        CLOSED DELETE DELETED UO
    """,
}
_WHO = {"U": Actor.USER, "R": Actor.REGISTRAR, "C": Actor.CLOCK, "O": Actor.OPERATOR}


def listed(kind: Kind) -> dict[tuple[State, Event, Actor], State]:
    rows = [line.split() for line in LEGAL[kind].strip().splitlines()]
    return {(State(source), Event(event), _WHO[letter]): State(to) for source, event, to, who in rows for letter in who}


@pytest.mark.parametrize("kind", list(Kind))
def test_every_pair_of_state_and_event_is_legal_or_refused_as_listed(kind: Kind) -> None:
    expected = listed(kind)
    for state, event, actor in itertools.product(State, Event, Actor):
        found = move(kind, state, event, actor)
        assert (found.to if found else None) == expected.get((state, event, actor)), (state, event, actor)


@given(
    st.sampled_from(Kind), st.lists(st.tuples(st.sampled_from(Event), st.sampled_from(Actor)), max_size=40), st.data()
)
def test_no_sequence_of_events_leaves_the_states_of_its_kind(
    kind: Kind, happenings: list[tuple[Event, Actor]], data: st.DataObject
) -> None:
    state = data.draw(st.sampled_from(sorted(FIRST_STATES[kind])))
    for event, actor in happenings:
        found = move(kind, state, event, actor)
        state = found.to if found else state
        assert state in states_of(kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_can_be_reached_and_only_ends_are_ends(kind: Kind) -> None:
    reached = set(FIRST_STATES[kind])
    while more := {found.to for (state, _), found in MACHINES[kind].items() if state in reached} - reached:
        reached |= more
    assert reached == states_of(kind)
    ends = states_of(kind) - {state for state, _ in MACHINES[kind]}
    assert (
        ends
        == {
            Kind.BRAND: {State.DELETED},
            Kind.VETTING: {State.SCORED, State.FAILED},
            Kind.USE_CASE: {State.DELETED},
            Kind.NUMBER: {State.RELEASED, State.FAILED},
            Kind.TOLL_FREE: {State.DELETED},
        }[kind]
    )


@pytest.mark.parametrize("kind", list(IN_FORCE))
def test_only_deciders_bring_a_registration_into_force(kind: Kind) -> None:
    for (state, event), found in MACHINES[kind].items():
        if found.to in IN_FORCE[kind] and state not in IN_FORCE[kind]:
            assert found.actors == {Actor.REGISTRAR, Actor.OPERATOR}, (state, event)
