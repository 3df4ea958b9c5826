"""Internal tokens and the cache in front of the service that knows the keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest

from heliograph.common.v1 import access_pb2
from heliograph.projects.v1 import access_pb2 as projects_pb2
from heliograph.projects.v1 import access_pb2_grpc as projects_pb2_grpc
from heliograph_kit.auth import (
    Bearer,
    InternalTokens,
    KeyAuthenticator,
    KeyInvalid,
    KeyMissing,
    KeyRevoked,
    Principal,
    Role,
    current_principal,
)
from heliograph_kit.errors import Unavailable
from heliograph_kit.rpc import RpcServer
from tests.kit.rpc.conftest import SECRET, Bench

KEY = "hg_1a_abcdefghijklmnopqrst"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _claims(**changes: Any) -> dict[str, Any]:
    start = int(NOW.timestamp())
    return {"sub": "campaigns", "aud": "heliograph-internal", "iat": start, "exp": start + 300} | changes


def _without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in _claims().items() if name != claim}


def test_a_token_names_its_service() -> None:
    tokens = InternalTokens(SECRET)
    assert tokens.verify(tokens.issue("campaigns")) == Principal("service", "campaigns", frozenset(Role), None)


START = int(NOW.timestamp())


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(jwt.encode(_claims(), SECRET + "x", "HS256"), id="another secret"),
        pytest.param(jwt.encode(_claims(), "", "none"), id="no algorithm"),
        pytest.param(jwt.encode(_claims(), SECRET * 2, "HS512"), id="another algorithm"),
        pytest.param(jwt.encode(_claims(aud="someone-else"), SECRET, "HS256"), id="another audience"),
        pytest.param(jwt.encode(_claims(exp=START + 301), SECRET, "HS256"), id="lives longer than five minutes"),
        pytest.param(jwt.encode(_claims(iat=START - 400, exp=START - 100), SECRET, "HS256"), id="expired"),
        pytest.param(jwt.encode(_claims(iat=START + 100, exp=START + 300), SECRET, "HS256"), id="from the future"),
        pytest.param(jwt.encode(_claims(sub=""), SECRET, "HS256"), id="nobody's"),
        pytest.param(jwt.encode(_without("exp"), SECRET, "HS256"), id="never expires"),
        pytest.param(jwt.encode(_without("aud"), SECRET, "HS256"), id="for nobody"),
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="rubbish"),
    ],
)
def test_a_token_that_is_not_quite_right_is_invalid(token: str) -> None:
    with pytest.raises(KeyInvalid):
        InternalTokens(SECRET, now=lambda: NOW).verify(token)


def test_a_token_is_used_again_until_its_last_minute() -> None:
    now = [NOW]
    tokens = InternalTokens(SECRET, now=lambda: now[0])
    first = tokens.issue("campaigns")
    now[0] += timedelta(minutes=3, seconds=50)
    assert tokens.issue("campaigns") == first
    now[0] += timedelta(seconds=20)
    assert tokens.issue("campaigns") != first
    tokens.verify(first)


def test_a_short_secret_is_refused_and_never_shown() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        InternalTokens("short")
    assert SECRET not in repr(InternalTokens(SECRET))


def test_outside_of_a_call_there_is_nobody() -> None:
    with pytest.raises(KeyMissing):
        current_principal()


class Access(projects_pb2_grpc.AccessServiceServicer):
    """Knows one key; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.refusal: Exception | None = None
        self.slow = False

    async def Authenticate(self, request: Any, context: Any) -> Any:
        self.asked += 1
        if self.slow:
            await asyncio.sleep(0.1)
        if self.refusal is not None:
            raise self.refusal
        if request.token != KEY:
            raise KeyInvalid()
        key = projects_pb2.ApiKey(
            name="apiKeys/1a", roles=[access_pb2.ROLE_SENDER, access_pb2.ROLE_INGEST], projects=["projects/shop"]
        )
        return projects_pb2.AuthenticateResponse(api_key=key)

    CreateApiKey = ListApiKeys = RevokeApiKey = None  # type: ignore[assignment]


class Time:
    now = 0.0


@pytest.fixture
async def access(bench: Bench) -> Any:
    servicer = Access()
    server = RpcServer("127.0.0.1:0", Bearer(bench.tokens, bench.book))
    server.add(projects_pb2_grpc.add_AccessServiceServicer_to_server, servicer, "heliograph.projects.v1.AccessService")
    address = await server.start()
    bench._stack.push_async_callback(server.stop, drain_seconds=0, grace_seconds=0)
    bench.server = server
    time = Time()
    keys = KeyAuthenticator(bench.open(address, timeout=timedelta(seconds=1)), monotonic=lambda: time.now, remembered=3)
    return servicer, keys, time


async def test_a_good_answer_is_remembered_for_five_seconds(access: Any) -> None:
    servicer, keys, time = access
    expected = Principal("key", "1a", frozenset({Role.SENDER, Role.INGEST}), frozenset({"shop"}))
    assert await keys.authenticate(KEY) == expected
    time.now = 4.9
    assert await keys.authenticate(KEY) == expected
    assert servicer.asked == 1
    servicer.refusal = KeyRevoked()
    time.now = 5.1
    with pytest.raises(KeyRevoked):
        await keys.authenticate(KEY)
    assert servicer.asked == 2


async def test_a_bad_answer_is_remembered_for_one_second(access: Any) -> None:
    servicer, keys, time = access
    for _ in range(3):
        with pytest.raises(KeyInvalid):
            await keys.authenticate(KEY + "x")
    assert servicer.asked == 1
    time.now = 1.1
    with pytest.raises(KeyInvalid):
        await keys.authenticate(KEY + "x")
    assert servicer.asked == 2


async def test_what_cannot_be_a_key_is_not_asked_about(access: Any) -> None:
    servicer, keys, _ = access
    for rubbish in ("hg_", "hg_1_short", "hg_1_" + "x" * 300, "hg_1_ümlautümlautümlaut"):
        with pytest.raises(KeyInvalid):
            await keys.authenticate(rubbish)
    assert servicer.asked == 0


async def test_many_calls_at_once_ask_once_and_one_that_hangs_up_harms_nobody(access: Any) -> None:
    servicer, keys, _ = access
    servicer.slow = True
    calls = [asyncio.create_task(keys.authenticate(KEY)) for _ in range(20)]
    await asyncio.sleep(0.02)
    calls[0].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {type(answer) for answer in answers[1:]} == {Principal}
    assert servicer.asked == 1


async def test_without_projects_nobody_gets_in_by_memory_older_than_allowed(access: Any, bench: Bench) -> None:
    _, keys, time = access
    await keys.authenticate(KEY)
    await bench.server.stop(drain_seconds=0, grace_seconds=0)
    assert (await keys.authenticate(KEY)).id == "1a"
    time.now = 5.1
    with pytest.raises(Unavailable):
        await keys.authenticate(KEY)


async def test_memory_is_bounded_whatever_is_tried(access: Any) -> None:
    _, keys, _ = access
    for number in range(10):
        with pytest.raises(KeyInvalid):
            await keys.authenticate(f"hg_{number}_abcdefghijklmnop")
    assert len(keys._known) == 3


async def test_a_fault_of_projects_is_not_the_callers(access: Any) -> None:
    servicer, keys, _ = access
    servicer.refusal = RuntimeError("broken")
    with pytest.raises(Unavailable) as caught:
        await keys.authenticate(KEY)
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
