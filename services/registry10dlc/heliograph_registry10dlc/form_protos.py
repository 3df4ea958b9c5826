"""Writes the forms as the messages that DescribeForm answers with."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import registry_pb2
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.forms import FORMS, Field, FieldType


def form_to_proto(kind: Kind) -> registry_pb2.Form:
    """Write a form. Raises KeyError: there is none of this kind."""
    form = FORMS[kind]
    return registry_pb2.Form(
        kind=registry_pb2.RegistrationKind.Value(f"REGISTRATION_KIND_{kind}"),
        version=form.version,
        fields=map(field_to_proto, form.fields),
    )


def field_to_proto(field: Field) -> registry_pb2.FormField:
    """Write one field. `required` is false where it is so only on a condition."""
    described = registry_pb2.FormField(
        path=field.path,
        description=field.description,
        required=field.required and field.when is None,
        min_length=field.min_length,
        max_length=field.max_length,
        choices=field.values,
        title=field.title,
        example=field.example,
        section=field.section,
        pattern=field.pattern,
        changeable_when_approved=field.changeable_when_approved,
        choice_descriptions=[choice.description for choice in field.choices],
    )
    if field.when is not None:
        described.condition_path = field.when.path
        described.condition_value = field.when.values[0]
        described.condition_values.extend(field.when.values)
    if field.type is FieldType.CHOICES:
        described.min_choices, described.max_choices = field.min_choices, field.max_choices
    return described
