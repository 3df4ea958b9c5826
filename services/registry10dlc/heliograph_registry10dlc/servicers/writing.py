"""Registrations as protos."""

from __future__ import annotations

from collections.abc import Sequence

from heliograph.registry10dlc.v1 import inventory_pb2, registry_pb2, toll_free_pb2, vetting_pb2
from heliograph_kit.instants import timestamp
from heliograph_registry10dlc.domain import Entry, Finding, Kind, NumberType, Registration
from heliograph_registry10dlc.events import name_of
from heliograph_registry10dlc.store.errands import Grant
from heliograph_registry10dlc.terms import Terms


def brand_to_proto(brand: Registration) -> registry_pb2.Brand:
    """Write a brand."""
    return registry_pb2.Brand(
        name=name_of(brand.project, Kind.BRAND, brand.id),
        fields=brand.fields,
        state=state_to_proto(brand.state),
        state_cause=brand.state_cause,
        state_field=brand.state_field,
        vetting_score=brand.vetting_score,
        create_time=timestamp(brand.create_time),
        update_time=timestamp(brand.update_time),
        findings=findings_to_proto(brand.findings),
        draft_fields=brand.draft_fields,
        vetting_time=timestamp(brand.vetting_time) if brand.vetting_time else None,
        expire_time=timestamp(brand.expire_time) if brand.expire_time else None,
        external_reference=brand.external_reference,
    )


def vetting_to_proto(vetting: Registration) -> vetting_pb2.Vetting:
    """Write a vetting."""
    return vetting_pb2.Vetting(
        name=name_of(vetting.project, Kind.VETTING, vetting.id),
        brand=name_of(vetting.project, Kind.BRAND, vetting.parent_id),
        state=state_to_proto(vetting.state),
        state_cause=vetting.state_cause,
        score=vetting.vetting_score,
        create_time=timestamp(vetting.create_time),
        update_time=timestamp(vetting.update_time),
    )


def use_case_to_proto(use_case: Registration, terms: Terms, number_count: int = 0) -> registry_pb2.UseCase:
    """Write a use case with what carriers let it send."""
    granted = terms.allowance(use_case)
    return registry_pb2.UseCase(
        name=name_of(use_case.project, Kind.USE_CASE, use_case.id),
        brand=name_of(use_case.project, Kind.BRAND, use_case.parent_id),
        fields=use_case.fields,
        state=state_to_proto(use_case.state),
        state_cause=use_case.state_cause,
        state_field=use_case.state_field,
        vetting_score=max(0, use_case.vetting_score),
        parts_per_second=granted.parts_per_second,
        messages_per_day=granted.messages_per_day,
        create_time=timestamp(use_case.create_time),
        update_time=timestamp(use_case.update_time),
        findings=findings_to_proto(use_case.findings),
        expire_time=timestamp(use_case.expire_time) if use_case.expire_time else None,
        number_count=number_count,
        external_reference=use_case.external_reference,
    )


def number_to_proto(number: Registration, terms: Terms) -> registry_pb2.PhoneNumber:
    """Write a number."""
    toll_free = number.number_type is NumberType.TOLL_FREE
    return registry_pb2.PhoneNumber(
        name=name_of(number.project, Kind.NUMBER, number.id),
        number=number.number,
        use_case="" if toll_free else name_of(number.project, Kind.USE_CASE, number.parent_id),
        state=state_to_proto(number.state),
        state_cause=number.state_cause,
        create_time=timestamp(number.create_time),
        update_time=timestamp(number.update_time),
        number_type=number.number_type,
        capabilities=number.capabilities,
        region=number.fields.get("region", ""),
        toll_free_registration=name_of(number.project, Kind.TOLL_FREE, number.parent_id) if toll_free else "",
        monthly_price=terms.monthly_price(number.number_type),
    )


def toll_free_to_proto(registration: Registration) -> toll_free_pb2.TollFreeRegistration:
    """Write a toll-free registration."""
    return toll_free_pb2.TollFreeRegistration(
        name=name_of(registration.project, Kind.TOLL_FREE, registration.id),
        phone_number=name_of(registration.project, Kind.NUMBER, registration.parent_id),
        fields=registration.fields,
        state=state_to_proto(registration.state),
        state_cause=registration.state_cause,
        findings=findings_to_proto(registration.findings),
        create_time=timestamp(registration.create_time),
        update_time=timestamp(registration.update_time),
    )


def grant_to_proto(grant: Grant, number: Registration) -> inventory_pb2.ShareGrant:
    """Write a lent number."""
    return inventory_pb2.ShareGrant(
        name=f"projects/{grant.project}/shareGrants/{grant.id}",
        phone_number=name_of(grant.project, Kind.NUMBER, grant.number_id),
        number=number.number,
        borrower=f"projects/{grant.borrower}",
        create_time=timestamp(grant.create_time),
    )


def move_to_proto(entry: Entry) -> registry_pb2.Move:
    """Write a line of history."""
    return registry_pb2.Move(
        resource=name_of(entry.project, entry.kind, entry.registration_id),
        kind=kind_to_proto(entry.kind),
        from_state=state_to_proto(entry.from_state or "UNSPECIFIED"),
        to_state=state_to_proto(entry.to_state),
        actor=entry.actor,
        cause=entry.cause,
        field=entry.field,
        time=timestamp(entry.time),
        event=entry.event or "",
        move_id=entry.move_id,
        words=entry.words,
    )


def findings_to_proto(findings: Sequence[Finding]) -> list[registry_pb2.Finding]:
    """Write what is to be mended."""
    return [registry_pb2.Finding(field=one.field, cause=one.cause, words=one.words) for one in findings]


def kind_to_proto(kind: Kind) -> registry_pb2.RegistrationKind.ValueType:
    """Write a kind."""
    return registry_pb2.RegistrationKind.Value(f"REGISTRATION_KIND_{kind}")


def state_to_proto(state: str) -> registry_pb2.RegistrationState.ValueType:
    """Write a state."""
    return registry_pb2.RegistrationState.Value(f"REGISTRATION_STATE_{state}")
