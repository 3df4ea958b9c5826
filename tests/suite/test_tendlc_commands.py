"""`heliograph 10dlc` against a registry on loopback that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner, Result

from heliograph.projects.v1 import projects_pb2
from heliograph.registry10dlc.v1 import desk_pb2, papers_pb2, registry_pb2, toll_free_pb2, vetting_pb2, watch_pb2
from heliograph_suite.cli import app

KEY = "hg_" + "0" * 32 + "_" + "1" * 32
BRAND = "projects/shop/brands/b1"
Answer = Callable[[Any, grpc.ServicerContext], Any]


def a_time(minute: int) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(datetime(2026, 11, 27, 12, minute, tzinfo=UTC))
    return made


def a_move(move_id: int, to_state: int, event: str = "", resource: str = BRAND) -> registry_pb2.Move:
    return registry_pb2.Move(
        resource=resource,
        kind=registry_pb2.REGISTRATION_KIND_BRAND,
        to_state=to_state,  # type: ignore[arg-type]
        actor="user",
        event=event,
        time=a_time(move_id),
        move_id=move_id,
    )


DRAFT = registry_pb2.REGISTRATION_STATE_DRAFT
PENDING = registry_pb2.REGISTRATION_STATE_PENDING
VERIFIED = registry_pb2.REGISTRATION_STATE_VERIFIED


class Registry:
    """Answers what a test tells it to; everything else is an empty page."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Answer] = {
            "ListBrands": lambda request, _: registry_pb2.ListBrandsResponse(brands=[self.brand]),
            "GetBrand": lambda request, _: self.brand,
            "ListMoves": self._moves,
            "ListProjects": lambda request, _: projects_pb2.ListProjectsResponse(
                projects=[projects_pb2.Project(name="projects/shop")]
            ),
        }
        self.brand = registry_pb2.Brand(
            name=BRAND, state=PENDING, fields={"companyInfo.companyName": "Example Records Inc"}, update_time=a_time(2)
        )

    @staticmethod
    def _moves(request: registry_pb2.ListMovesRequest, _: grpc.ServicerContext) -> registry_pb2.ListMovesResponse:
        if not request.page_token:
            return registry_pb2.ListMovesResponse(moves=[a_move(1, DRAFT)], next_page_token="more")
        return registry_pb2.ListMovesResponse(moves=[a_move(2, PENDING, "SUBMIT")])

    def handlers(self, file: FileDescriptor) -> Iterator[grpc.GenericRpcHandler[Any, Any]]:
        for service in file.services_by_name.values():
            methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
            for name, method in service.methods_by_name.items():
                request_class = message_factory.GetMessageClass(method.input_type)
                answer_class = message_factory.GetMessageClass(method.output_type)
                make = (
                    grpc.unary_stream_rpc_method_handler
                    if method.server_streaming
                    else grpc.unary_unary_rpc_method_handler
                )
                methods[name] = make(
                    self._answer(name, answer_class),
                    request_deserializer=request_class.FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
            yield grpc.method_handlers_generic_handler(service.full_name, methods)

    def _answer(self, name: str, answer_class: Callable[[], Any]) -> Answer:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if dict(context.invocation_metadata()).get("authorization") != f"Bearer {KEY}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "this key is not known")
            self.asked.append((name, request))
            found = self.answers.get(name)
            return found(request, context) if found else answer_class()

        return answer


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def target(registry: Registry) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    for file in (registry_pb2, vetting_pb2, toll_free_pb2, watch_pb2, papers_pb2, desk_pb2, projects_pb2):
        server.add_generic_rpc_handlers(tuple(registry.handlers(file.DESCRIPTOR)))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


Run = Callable[..., Result]


@pytest.fixture
def run(target: str) -> Run:
    def ran(*arguments: str, key: str = KEY, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["10dlc", *arguments, "--target", target, "--key", key], input=input)

    return ran


def refuse(code: grpc.StatusCode, reason: str, *violations: tuple[str, str]) -> Answer:
    def answer(_: Any, context: grpc.ServicerContext) -> Any:
        status = status_pb2.Status(code=code.value[0], message="it is refused")
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="heliograph"))
        request = error_details_pb2.BadRequest()
        for field, description in violations:
            request.field_violations.add(field=field, description=description, reason="X")
        status.details.add().Pack(request)
        context.abort_with_status(rpc_status.to_status(status))

    return answer


def test_status_shows_a_timeline_of_each_registration(run: Run, registry: Registry) -> None:
    shown = run("status", "--project", "shop")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.splitlines() == [
        BRAND,
        "  BRAND  Example Records Inc",
        "  now   PENDING since 2026-11-27 12:02:00 UTC",
        "  next  it is being checked; by hand: heliograph 10dlc desk list",
        "  who   the registrar",
        "  2026-11-27 12:01:00  user       created: DRAFT",
        "  2026-11-27 12:02:00  user       SUBMIT: PENDING",
    ]
    asked = {name for name, _ in registry.asked}
    assert {"ListVettings", "ListUseCases", "ListPhoneNumbers", "ListTollFreeRegistrations"} <= asked


def test_status_shows_one_registration_to_machines(run: Run, registry: Registry) -> None:
    shown = run("status", "--registration", BRAND, "--json")
    assert shown.exit_code == 0, shown.output
    (told,) = json.loads(shown.stdout)
    assert (told["resource"], told["state"], len(told["moves"])) == (BRAND, "PENDING", 2)
    assert {request.resource for name, request in registry.asked if name == "ListMoves"} == {BRAND}


def test_status_of_all_projects_asks_which_there_are(run: Run, target: str) -> None:
    assert run("status").exit_code == 2
    shown = run("status", "--projects-target", target)
    assert shown.exit_code == 0, shown.output
    assert BRAND in shown.stdout


def test_an_empty_project_has_words_of_its_own(run: Run, registry: Registry) -> None:
    registry.answers.clear()
    assert run("status", "--project", "shop").stdout == "there are no registrations\n"
    assert json.loads(run("status", "--project", "shop", "--json").stdout) == []


def following(registry: Registry) -> None:
    """The service stops after a move, and refuses after another."""

    def watch(request: watch_pb2.WatchMovesRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        if request.after_move_id == 2:
            yield watch_pb2.WatchMovesResponse(move=a_move(3, VERIFIED, "VERIFIED"))
            context.abort(grpc.StatusCode.UNAVAILABLE, "the service stops")
        assert request.after_move_id == 3
        yield watch_pb2.WatchMovesResponse(move=a_move(4, VERIFIED, "SCORED"))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "this key was revoked")

    registry.answers["WatchMoves"] = watch


def test_following_goes_on_behind_the_last_move_when_the_service_stops(run: Run, registry: Registry) -> None:
    following(registry)
    shown = run("status", "--project", "shop", "--follow")
    assert shown.exit_code == 2
    assert shown.stdout.count("VERIFIED: VERIFIED") == shown.stdout.count("SCORED: VERIFIED") == 1
    assert "UNAVAILABLE: the service stops; going on" in shown.stderr
    assert "PERMISSION_DENIED: this key was revoked" in shown.stderr


def test_machines_follow_line_by_line(run: Run, registry: Registry) -> None:
    following(registry)
    lines = [
        json.loads(line) for line in run("status", "--registration", BRAND, "--follow", "--json").stdout.splitlines()
    ]
    assert [next(iter(line)) for line in lines] == ["registration", "move", "move"]
    assert [line["move"]["move_id"] for line in lines[1:]] == [3, 4]
    assert {request.resource for name, request in registry.asked if name == "WatchMoves"} == {BRAND}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--registration", "socks"], "must have the form projects/{project}/{brands|"),
        (["desk", "decide", BRAND, "VERIFIED", "--reference", "r", "--mend", "website"], "write FIELD=CAUSE"),
        (["papers", "import", "/nowhere/at/all", "--project", "shop"], "cannot read"),
        (["papers", "export", "/nowhere/at/all", "--project", "shop"], "cannot write"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_trace(run: Run, arguments: list[str], words: str) -> None:
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert "Traceback" not in shown.output


def test_a_wrong_key_and_a_missing_installation_are_said(run: Run, tmp_path: Path) -> None:
    wrong = run("status", "--project", "shop", key="hg_wrong")
    assert (wrong.exit_code, wrong.stderr) == (2, "UNAUTHENTICATED: this key is not known\n")
    nowhere = CliRunner().invoke(app, ["10dlc", "status", "--dir", str(tmp_path)], env={"HELIOGRAPH_KEY": ""})
    assert nowhere.exit_code == 2
    assert "begin with: heliograph up" in nowhere.stderr


def test_the_folder_of_an_installation_says_where_and_who(registry: Registry, target: str, tmp_path: Path) -> None:
    services = {name: {"target": target} for name in ("registry10dlc", "projects")}
    (tmp_path / "state.json").write_text(json.dumps({"services": services}))
    (tmp_path / "secrets.json").write_text(json.dumps({"bootstrap_key": KEY}))
    shown = CliRunner().invoke(app, ["10dlc", "status", "--dir", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert BRAND in shown.stdout


def test_papers_are_exported_and_imported(run: Run, registry: Registry, tmp_path: Path) -> None:
    document = b'{"format": "heliograph-10dlc-papers/1"}'
    registry.answers["ExportPapers"] = lambda *_: papers_pb2.ExportPapersResponse(document=document)
    registry.answers["ImportPapers"] = lambda *_: papers_pb2.ImportPapersResponse(
        brands=["projects/here/brands/b9"], left_out=["toll-free registration t1: numbers do not move"]
    )
    file = tmp_path / "papers.json"
    assert run("papers", "export", str(file), "--project", "shop").exit_code == 0
    assert file.read_bytes() == document
    assert run("papers", "export", "-", "--project", "shop").stdout_bytes == document
    shown = run("papers", "import", str(file), "--project", "here")
    assert shown.stdout.splitlines() == [
        "created as drafts: brands 1, use cases 0",
        "  projects/here/brands/b9",
        "left out: toll-free registration t1: numbers do not move",
    ]
    assert registry.asked[-1][1] == papers_pb2.ImportPapersRequest(parent="projects/here", document=document)
    machine = json.loads(run("papers", "import", "-", "--project", "here", "--json", input=document).stdout)
    assert machine["brands"] == ["projects/here/brands/b9"]
    assert registry.asked[-1][1].document == document


def test_all_that_is_wrong_with_papers_is_shown(run: Run, registry: Registry) -> None:
    registry.answers["ImportPapers"] = refuse(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        ("document.brands[0].key", "must be"),
        ("document.x", "no"),
    )
    shown = run("papers", "import", "-", "--project", "here", input=b"{}")
    assert shown.exit_code == 2
    assert shown.stderr.splitlines() == [
        "INVALID_ARGUMENT INVALID_ARGUMENT: it is refused",
        "  document.brands[0].key: must be",
        "  document.x: no",
    ]


WAITING = desk_pb2.PendingSubmission(
    resource=BRAND,
    kind=registry_pb2.REGISTRATION_KIND_BRAND,
    state=PENDING,
    fields={"companyInfo.companyName": "Example Records Inc"},
    submit_time=a_time(1),
    reference="manual-1",
    decisions=["VERIFIED", "REJECTED"],
)


def test_the_desk_lists_what_waits_page_by_page(run: Run, registry: Registry) -> None:
    assert run("desk", "list").stdout == "nothing waits for a decision\n"

    def pages(request: desk_pb2.ListSubmissionsRequest, _: grpc.ServicerContext) -> desk_pb2.ListSubmissionsResponse:
        return desk_pb2.ListSubmissionsResponse(
            submissions=[WAITING], next_page_token="" if request.page_token else "2"
        )

    registry.answers["ListSubmissions"] = pages
    shown = run("desk", "list", "--fields").stdout.split("\n\n")
    assert len(shown) == 2
    assert shown[0].splitlines() == [
        BRAND,
        "  kind       BRAND",
        "  state      PENDING",
        "  handed in  2026-11-27 12:01:00 UTC",
        "  reference  manual-1",
        "  decisions  VERIFIED, REJECTED",
        "  fields     companyInfo.companyName=Example Records Inc",
    ]
    first, _ = json.loads(run("desk", "list", "--json").stdout)
    assert (first["reference"], first["fields"]) == ("manual-1", dict(WAITING.fields))


def test_a_decision_is_written_down_as_it_was_given(run: Run, registry: Registry) -> None:
    registry.answers["DecideSubmission"] = lambda *_: desk_pb2.DecideSubmissionResponse(state=VERIFIED)
    shown = run(
        "desk", "decide", BRAND, "REJECTED", "--reference", "manual-1", "--cause", "OTHER", "--words", "see below",
        "--mend", "contactInfo.website=WEBSITE_MISSING_OR_DOWN: it is: down", "--mend", "companyInfo.taxId=MISMATCH",
        "--score", "80", "--number", "+12065550100", "--expires", "2027-01-02",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == f"{BRAND}\n  is VERIFIED now\n"
    expires = Timestamp()
    expires.FromDatetime(datetime(2027, 1, 2, tzinfo=UTC))
    assert registry.asked[-1][1] == desk_pb2.DecideSubmissionRequest(
        resource=BRAND,
        reference="manual-1",
        decision="REJECTED",
        cause="OTHER",
        words="see below",
        findings=[
            registry_pb2.Finding(field="contactInfo.website", cause="WEBSITE_MISSING_OR_DOWN", words="it is: down"),
            registry_pb2.Finding(field="companyInfo.taxId", cause="MISMATCH"),
        ],
        score=80,
        number="+12065550100",
        expire_time=expires,
    )


def test_a_decision_on_what_was_handed_in_again_is_refused(run: Run, registry: Registry) -> None:
    registry.answers["DecideSubmission"] = refuse(grpc.StatusCode.FAILED_PRECONDITION, "SUBMISSION_OUTDATED")
    shown = run("desk", "decide", BRAND, "VERIFIED", "--reference", "manual-0")
    assert (shown.exit_code, shown.stderr) == (2, "FAILED_PRECONDITION SUBMISSION_OUTDATED: it is refused\n")
