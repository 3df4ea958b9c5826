"""Who may call what, on every arity, and what strangers learn: nothing."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from heliograph.common.v1 import access_pb2
from heliograph_kit.auth import Bearer, Principal, Role, current_principal
from heliograph_kit.rpc import RpcServer, reason_of
from heliograph_kit.rpc.access import MissingAccessRule, rules_of
from tests.kit.rpc.conftest import Bench
from tests.kit.rpc.echo import METHODS, MISGUIDED, SERVICE, UNGUARDED, EchoRequest, EchoResponse, EchoStub, Inner, call


async def _outcome(stub: EchoStub, method: str, *requests: Any, **options: Any) -> tuple[str, str]:
    try:
        await call(stub, method, *requests, **options)
    except grpc.aio.AioRpcError as error:
        return error.code().name, reason_of(error)
    return "OK", ""


SHOP = "projects/shop"
DENIED = ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
OK = ("OK", "")


@pytest.mark.parametrize("method", ["One", "Down", "Up", "Both"])
async def test_without_a_key_nobody_gets_in(bench: Bench, method: str) -> None:
    stub = await bench.stub(tokens=None)
    assert await _outcome(stub, method, EchoRequest(parent=SHOP)) == ("UNAUTHENTICATED", "KEY_MISSING")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param("Bearer hg_9_unknownunknownunknown", "KEY_INVALID", id="unknown key"),
        pytest.param("Bearer ", "KEY_INVALID", id="empty token"),
        pytest.param("Basic dXNlcjpwYXNz", "KEY_INVALID", id="another scheme"),
        pytest.param("Bearer not.a.token", "KEY_INVALID", id="no key and no token"),
        pytest.param("", "KEY_MISSING", id="empty header"),
    ],
)
async def test_a_wrong_header_is_refused(bench: Bench, header: str, reason: str) -> None:
    stub = await bench.stub(tokens=None)
    outcome = await _outcome(stub, "One", EchoRequest(parent=SHOP), metadata=[("authorization", header)])
    assert outcome == ("UNAUTHENTICATED", reason)


async def test_a_revoked_key_is_told_so(bench: Bench) -> None:
    key = bench.book.issue(Role.ADMIN)
    bench.book.revoked.add(key)
    stub = await bench.stub(tokens=None, key=key)
    assert await _outcome(stub, "One", EchoRequest(parent=SHOP)) == ("UNAUTHENTICATED", "KEY_REVOKED")


NEEDED = {
    "One": Role.VIEWER, "Down": Role.VIEWER, "Up": Role.INGEST, "Both": Role.EDITOR, "Send": Role.SENDER,
    "Administer": Role.ADMIN,
}  # fmt: skip
INCLUDED = {
    Role.ADMIN: {Role.ADMIN, Role.EDITOR, Role.SENDER, Role.INGEST, Role.VIEWER},
    Role.EDITOR: {Role.EDITOR, Role.SENDER, Role.INGEST, Role.VIEWER},
    Role.SENDER: {Role.SENDER, Role.VIEWER},
    Role.INGEST: {Role.INGEST},
    Role.VIEWER: {Role.VIEWER},
}


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_opens_exactly_the_methods_it_includes(bench: Bench, role: Role) -> None:
    stub = await bench.stub(tokens=None, key=bench.book.issue(role))
    outcomes = {method: await _outcome(stub, method, EchoRequest(parent=SHOP)) for method in NEEDED}
    assert outcomes == {method: OK if needed in INCLUDED[role] else DENIED for method, needed in NEEDED.items()}


@pytest.mark.parametrize("method", ["One", "Down", "Up", "Both", "Nested", "Several"])
async def test_another_project_is_refused_alike_whether_it_exists_or_not(bench: Bench, method: str) -> None:
    stub = await bench.stub(tokens=None, key=bench.book.issue(Role.ADMIN, projects=("shop",)))
    texts = set()
    for project in ("projects/bank", "projects/no-such-project", "projects/shop2"):
        request = EchoRequest(parent=project, inner=Inner(parent=project), inners=[Inner(parent=project)])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(stub, method, request)
        assert (caught.value.code().name, reason_of(caught.value)) == ("PERMISSION_DENIED", "PROJECT_NOT_ALLOWED")
        trailing: Any = caught.value.trailing_metadata()
        texts.add((caught.value.details(), tuple(trailing)))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "parent",
    [
        pytest.param("", id="empty"),
        pytest.param("shop", id="no collection"),
        pytest.param("projects/", id="no id"),
        pytest.param("project/shop", id="misspelt"),
        pytest.param("projects/a.b", id="a dot would be two tokens of a subject"),
        pytest.param("projects/*", id="a wildcard"),
    ],
)
async def test_a_malformed_project_is_an_invalid_name(bench: Bench, parent: str) -> None:
    stub = await bench.stub()
    assert await _outcome(stub, "One", EchoRequest(parent=parent)) == ("INVALID_ARGUMENT", "INVALID_NAME")


async def test_one_foreign_name_among_several_is_refused(bench: Bench) -> None:
    stub = await bench.stub(tokens=None, key=bench.book.issue(Role.VIEWER))
    mixed = EchoRequest(inners=[Inner(parent=SHOP), Inner(parent="projects/bank")])
    assert await _outcome(stub, "Several", mixed) == ("PERMISSION_DENIED", "PROJECT_NOT_ALLOWED")
    assert await _outcome(stub, "Several", EchoRequest(inners=[Inner(parent=SHOP)] * 2)) == OK


@pytest.mark.parametrize("method", ["Up", "Both"])
async def test_each_message_of_a_stream_is_checked(bench: Bench, method: str) -> None:
    stub = await bench.stub(tokens=None, key=bench.book.issue(Role.ADMIN, projects=("shop", "kiosk")))
    mine = EchoRequest(parent=SHOP)
    cases = {
        "repeated": ((mine, mine), OK),
        "left out later": ((mine, EchoRequest(text="x")), OK),
        "left out first": ((EchoRequest(), mine), ("INVALID_ARGUMENT", "INVALID_NAME")),
        "foreign later": (
            (mine, EchoRequest(parent="projects/bank")),
            ("PERMISSION_DENIED", "PROJECT_NOT_ALLOWED"),
        ),
        "another of mine": (
            (mine, EchoRequest(parent="projects/kiosk")),
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ),
    }
    assert {name: await _outcome(stub, method, *requests) for name, (requests, _) in cases.items()} == {
        name: expected for name, (_, expected) in cases.items()
    }


async def test_a_method_of_the_installation_needs_the_scope_of_all_projects(bench: Bench) -> None:
    address = await bench.serve()
    narrow = EchoStub(bench.open(address, tokens=None, key=bench.book.issue(Role.ADMIN)))
    wide = EchoStub(bench.open(address, tokens=None, key=bench.book.issue(Role.ADMIN, projects=None)))
    assert await _outcome(narrow, "Install", EchoRequest()) == DENIED
    assert await _outcome(wide, "Install", EchoRequest()) == OK
    assert await _outcome(wide, "One", EchoRequest(parent="projects/any")) == OK


async def test_no_key_ever_calls_an_internal_method(bench: Bench) -> None:
    address = await bench.serve()
    wide = EchoStub(bench.open(address, tokens=None, key=bench.book.issue(*Role, projects=None)))
    peer = EchoStub(bench.open(address))
    assert await _outcome(wide, "Peer", EchoRequest(parent=SHOP)) == DENIED
    assert await _outcome(peer, "Peer", EchoRequest(parent=SHOP)) == OK


async def test_any_key_will_do_where_the_rule_says_so_and_none_where_it_is_public(bench: Bench) -> None:
    address = await bench.serve()
    ingest = EchoStub(bench.open(address, tokens=None, key=bench.book.issue(Role.INGEST)))
    stranger = EchoStub(bench.bare(address))
    assert await _outcome(ingest, "Anyone", EchoRequest()) == OK
    assert await _outcome(stranger, "Anyone", EchoRequest()) == ("UNAUTHENTICATED", "KEY_MISSING")
    assert await _outcome(stranger, "Public", EchoRequest()) == OK


@pytest.mark.parametrize("method", ["One", "Down", "Up", "Both"])
async def test_the_handler_knows_who_is_calling(bench: Bench, method: str) -> None:
    seen: list[Principal] = []

    async def does(_request: Any, _context: Any) -> Any:
        seen.append(current_principal())
        return EchoResponse()

    address = await bench.serve(does)
    key = bench.book.issue(Role.ADMIN)
    await call(EchoStub(bench.open(address, tokens=None, key=key)), method, EchoRequest(parent=SHOP))
    await call(EchoStub(bench.open(address, caller="campaigns")), method, EchoRequest(parent=SHOP))
    assert seen == [
        bench.book.keys[key],
        Principal("service", "campaigns", frozenset(Role), None),
    ]


async def test_strangers_are_refused_before_their_request_is_decoded(bench: Bench) -> None:
    stub = EchoStub(bench.bare(await bench.serve()), raw=True)
    assert await _outcome(stub, "One", b"\xff\xff") == ("UNAUTHENTICATED", "KEY_MISSING")


def test_a_service_with_a_method_without_a_rule_does_not_start(bench: Bench) -> None:
    server = RpcServer("127.0.0.1:0", Bearer(bench.tokens, bench.book))
    with pytest.raises(MissingAccessRule, match=r"UnguardedService\.Forgotten: has no option"):
        server.add(lambda *_: None, object(), UNGUARDED)


def test_a_rule_that_names_a_field_that_is_not_there_does_not_start() -> None:
    with pytest.raises(MissingAccessRule) as caught:
        rules_of(MISGUIDED)
    assert "nothing.here is not in" in str(caught.value)
    assert "inner is not a string" in str(caught.value)


async def test_a_method_registered_around_the_rules_is_closed(bench: Bench) -> None:
    """Deny by default: only what went through `add` has a rule."""
    address = await bench.serve()
    bench.server._guard._rules.clear()
    assert await _outcome(EchoStub(bench.open(address)), "Public", EchoRequest()) == DENIED


def test_every_method_of_this_product_has_a_rule() -> None:
    """Walks all generated services; the same walk as at start, without starting any."""
    from importlib import import_module
    from pkgutil import walk_packages

    from google.protobuf import descriptor_pool

    import heliograph

    pool = descriptor_pool.Default()
    services = []
    for module in walk_packages(heliograph.__path__, "heliograph."):
        if module.name.endswith("_pb2"):
            file = import_module(module.name).DESCRIPTOR
            services += [service.full_name for service in file.services_by_name.values()]
    assert "heliograph.projects.v1.AccessService" in services
    for service in services:
        assert len(rules_of(service)) == len(pool.FindServiceByName(service).methods)


def test_the_rules_are_read_from_the_descriptor() -> None:
    rules = rules_of(SERVICE)
    assert len(rules) == len(METHODS)
    assert rules[f"/{SERVICE}/Nested"].project_path == ("inner", "parent")
    assert rules[f"/{SERVICE}/Public"].role == access_pb2.ROLE_PUBLIC
