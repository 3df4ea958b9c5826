"""The pure rules: which drafts are good, and what a token proves."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_projects.domain import ApiKeyDraft, KeyRole, ProjectDraft, Token, check_tags, parse_token

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def reasons_of(draft: ProjectDraft | ApiKeyDraft) -> list[str]:
    """Return every reason a draft is refused for."""
    found: list[str] = []
    draft.check(lambda field, description, reason: found.append(reason))
    return found


@pytest.mark.parametrize(
    ("tags", "reasons"),
    [
        pytest.param({f"k{n}": "v" for n in range(50)}, [], id="50 tags are allowed"),
        pytest.param({f"k{n}": "v" for n in range(51)}, ["TOO_MANY_TAGS"], id="51 are not"),
        pytest.param({"k" * 128: "v" * 256}, [], id="the longest key and value are allowed"),
        pytest.param({"k" * 129: ""}, ["TAG_KEY_LENGTH"], id="one more in the key is not"),
        pytest.param({"": ""}, ["TAG_KEY_LENGTH"], id="an empty key is not"),
        pytest.param({"k": "v" * 257}, ["TAG_VALUE_LENGTH"], id="one more in the value is not"),
        pytest.param({"aws:k": ""}, ["TAG_KEY_RESERVED"], id="aws: is reserved"),
        pytest.param({"AWS:k": ""}, ["TAG_KEY_RESERVED"], id="in any case of letters"),
    ],
)
def test_tags_are_held_to_their_limits(tags: dict[str, str], reasons: list[str]) -> None:
    found: list[str] = []
    check_tags("project.tags", tags, lambda field, description, reason: found.append(reason))
    assert found == reasons


@pytest.mark.parametrize(
    ("chosen", "good"),
    [
        pytest.param("", True, id="none means one is made"),
        pytest.param("a", True, id="shortest"),
        pytest.param("a" * 63, True, id="longest"),
        pytest.param("a" * 64, False, id="too long"),
        pytest.param("1a", False, id="begins with a digit"),
        pytest.param("Shop", False, id="capital"),
        pytest.param("a.b", False, id="a dot would split bus subjects"),
        pytest.param("a\n", False, id="a trailing line end"),
    ],
)
def test_a_chosen_id_has_a_form(chosen: str, good: bool) -> None:
    assert (reasons_of(ProjectDraft("Shop", chosen_id=chosen)) == []) is good


@pytest.mark.parametrize(
    ("draft", "reasons"),
    [
        pytest.param(ApiKeyDraft("k", [KeyRole.ADMIN], all_projects=True), [], id="good"),
        pytest.param(ApiKeyDraft("k", [], all_projects=True), ["ROLE_MISSING"], id="no role"),
        pytest.param(ApiKeyDraft("k", [], all_projects=True, unknown_roles=1), ["ROLE_UNKNOWN"], id="unknown role"),
        pytest.param(ApiKeyDraft("k", [KeyRole.VIEWER]), ["SCOPE_MISSING"], id="no scope"),
        pytest.param(ApiKeyDraft("k", [KeyRole.VIEWER], ["a"], True), ["SCOPE_AMBIGUOUS"], id="two scopes"),
        pytest.param(ApiKeyDraft("k", [KeyRole.VIEWER], ["a"] * 101), ["TOO_MANY_PROJECTS"], id="101 projects"),
        pytest.param(ApiKeyDraft("", []), ["DISPLAY_NAME_LENGTH", "ROLE_MISSING", "SCOPE_MISSING"], id="all at once"),
    ],
)
def test_a_key_needs_a_name_roles_and_one_scope(draft: ApiKeyDraft, reasons: list[str]) -> None:
    assert reasons_of(draft) == reasons


def test_a_token_proves_itself_and_does_not_show_its_secret() -> None:
    text = "hg_" + "0" * 32 + "_" + "ab" * 32
    token = parse_token(text)
    assert token is not None
    assert token.text() == text
    assert token.proves(hashlib.sha256(b"ab" * 32).digest())
    assert not token.proves(hashlib.sha256(b"other").digest())
    assert not token.proves(None)
    assert "abab" not in repr(token)


@given(st.text(max_size=120))
def test_parsing_a_token_never_fails_and_only_gives_back_what_it_got(text: str) -> None:
    token = parse_token(text)
    assert token is None or token.text() == text


def test_the_first_revocation_counts() -> None:
    key = ApiKeyDraft("k", [KeyRole.VIEWER, KeyRole.ADMIN, KeyRole.ADMIN], all_projects=True).finish("0" * 32, NOW)
    assert key.roles == (KeyRole.ADMIN, KeyRole.VIEWER)
    assert key.manages_keys
    revoked = key.revoked(NOW)
    assert not revoked.manages_keys
    assert revoked.revoked(NOW + timedelta(days=1)).revoke_time == NOW
    assert Token(key.id, "s").secret_hash == hashlib.sha256(b"s").digest()
