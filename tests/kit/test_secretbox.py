"""Secrets at rest."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from heliograph_kit.secretbox import SecretBox, SecretKeyMissing, SecretUnreadable

pytestmark = pytest.mark.unit
KEY = SecretStr("k" * 32)


def a_box(key: SecretStr | None = KEY, person: bytes = b"heliograph-test") -> SecretBox:
    return SecretBox(key, service="messaging", person=person)


def test_what_is_sealed_opens_for_its_owner_alone() -> None:
    sealed = a_box().seal("shop", "EMAIL", {"password": "hunter22"})
    assert b"hunter22" not in sealed
    assert a_box().open("shop", "EMAIL", sealed) == {"password": "hunter22"}
    for project, owner in [("other", "EMAIL"), ("shop", "SMS")]:
        with pytest.raises(SecretUnreadable):
            a_box().open(project, owner, sealed)


def test_the_same_secret_never_looks_the_same() -> None:
    assert a_box().seal("shop", "EMAIL", {"a": "b"}) != a_box().seal("shop", "EMAIL", {"a": "b"})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(a_box(SecretStr("l" * 32)), id="another key"),
        pytest.param(a_box(None), id="no key"),
        pytest.param(a_box(person=b"heliograph-else"), id="the same passphrase for another service"),
    ],
)
def test_without_the_key_nothing_opens_and_the_setting_is_named(other: SecretBox) -> None:
    sealed = a_box().seal("shop", "EMAIL", {"a": "b"})
    with pytest.raises(SecretUnreadable, match="HELIOGRAPH_MESSAGING_SECRET_KEY"):
        other.open("shop", "EMAIL", sealed)


def test_nothing_needs_no_key_and_something_does() -> None:
    assert a_box(None).seal("shop", "EMAIL", {}) == b""
    assert a_box(None).open("shop", "EMAIL", b"") == {}
    with pytest.raises(SecretKeyMissing, match="set HELIOGRAPH_MESSAGING_SECRET_KEY and restart messaging"):
        a_box(None).seal("shop", "EMAIL", {"a": "b"})


def test_secrets_of_channels_that_were_stored_before_still_open() -> None:
    """Sealed by messaging when the box was its own."""
    sealed = bytes.fromhex(OLD)
    box = SecretBox(KEY, service="messaging", person=b"heliograph-chan")
    assert box.open("shop", "EMAIL", sealed) == {"password": "hunter22"}


OLD = "01385c6b6f91592c2d190f69a6d9830b73ae2320df71e56d8d6156a6e966494fa412baa7ea888fe937d2b24f40a66c0b8a0db6cf51"
