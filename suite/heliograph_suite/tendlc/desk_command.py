"""`heliograph 10dlc desk`: for whoever registers by hand in a registry's portal and writes decisions down here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.registry10dlc.v1 import desk_pb2, desk_pb2_grpc, registry_pb2
from heliograph_suite.installation import DEFAULT_DIRECTORY
from heliograph_suite.tendlc.reach import AsJson, Directory, Key, Reach, Target, fail, reach_of, run
from heliograph_suite.tendlc.reading import kind_word, state_word
from heliograph_suite.tendlc.timeline import instant, table

app = typer.Typer(no_args_is_help=True, help="Decide by hand (registrar `manual`).")
_HEAD = ("resource", "kind", "state", "handed in", "reference", "decisions", "fields")


@app.command("list")
def list_(
    fields: Annotated[bool, typer.Option("--fields", help="Show what was filled in, too.")] = False,
    as_json: AsJson = False,
    directory: Directory = DEFAULT_DIRECTORY,
    target: Target = None,
    key: Key = None,
) -> None:
    """List what waits for a decision in all projects, oldest first."""
    waiting = run(_waiting(reach_of(directory, target, key)))
    if as_json:
        typer.echo(
            json.dumps([{**_seen(each), "fields": dict(sorted(each.fields.items()))} for each in waiting], indent=2)
        )
        return
    rows = [_row(each, fields=fields) for each in waiting]
    typer.echo(table(_HEAD, rows) or "nothing waits for a decision")


@app.command()
def decide(
    resource: Annotated[str, typer.Argument(help="The name, from `desk list`.")],
    decision: Annotated[str, typer.Argument(help="One of its decisions, from `desk list`.")],
    reference: Annotated[
        str, typer.Option(help="The reference, from `desk list`: what was handed in again since is not decided.")
    ],
    cause: Annotated[str, typer.Option(help="Why, one word such as WEBSITE_MISSING_OR_DOWN; refusals need it.")] = "",
    words: Annotated[str, typer.Option(help="Why, in words for people.")] = "",
    mend: Annotated[
        list[str] | None, typer.Option(help="A field to mend, as FIELD=CAUSE or FIELD=CAUSE:words; may be given again.")
    ] = None,
    score: Annotated[int, typer.Option(min=0, max=100, help="The score of a vetting or a brand.")] = 0,
    number: Annotated[str, typer.Option(help="The number that was bought.")] = "",
    expires: Annotated[datetime | None, typer.Option(help="When it runs out, UTC.")] = None,
    as_json: AsJson = False,
    directory: Directory = DEFAULT_DIRECTORY,
    target: Target = None,
    key: Key = None,
) -> None:
    """Write a decision down. Safe to repeat."""
    request = desk_pb2.DecideSubmissionRequest(
        resource=resource,
        reference=reference,
        decision=decision,
        cause=cause,
        words=words,
        findings=map(_finding, mend or ()),
        score=score,
        number=number,
        expire_time=_timestamp(expires),
    )
    state = state_word(run(_decide(reach_of(directory, target, key), request)).state)
    typer.echo(json.dumps({"resource": resource, "state": state}) if as_json else f"{resource}\n  is {state} now")


async def _waiting(reach: Reach) -> list[desk_pb2.PendingSubmission]:
    found: list[desk_pb2.PendingSubmission] = []
    async with reach.opened() as opened:
        stub: desk_pb2_grpc.DeskServiceAsyncStub = desk_pb2_grpc.DeskServiceStub(opened)
        token = ""
        while True:
            page = await stub.ListSubmissions(desk_pb2.ListSubmissionsRequest(page_size=500, page_token=token))
            found += page.submissions
            token = page.next_page_token
            if not token:
                return found


async def _decide(reach: Reach, request: desk_pb2.DecideSubmissionRequest) -> desk_pb2.DecideSubmissionResponse:
    async with reach.opened() as opened:
        stub: desk_pb2_grpc.DeskServiceAsyncStub = desk_pb2_grpc.DeskServiceStub(opened)
        return await stub.DecideSubmission(request)


def _row(submission: desk_pb2.PendingSubmission, *, fields: bool) -> tuple[str, ...]:
    seen = _seen(submission)
    filled = "; ".join(f"{path}={value}" for path, value in sorted(submission.fields.items())) if fields else ""
    return (
        submission.resource,
        str(seen["kind"]),
        str(seen["state"]),
        instant(submission.submit_time.ToDatetime(UTC)),
        submission.reference,
        ", ".join(submission.decisions),
        filled,
    )


def _seen(submission: desk_pb2.PendingSubmission) -> dict[str, object]:
    return {
        "resource": submission.resource,
        "kind": kind_word(submission.kind),
        "state": state_word(submission.state),
        "submit_time": submission.submit_time.ToJsonString(),
        "reference": submission.reference,
        "decisions": list(submission.decisions),
    }


def _finding(text: str) -> registry_pb2.Finding:
    field, equals, rest = text.partition("=")
    cause, _, words = rest.partition(":")
    if not equals or not cause:
        fail(f"--mend {text}: write FIELD=CAUSE or FIELD=CAUSE:words")
    return registry_pb2.Finding(field=field.strip(), cause=cause.strip(), words=words.strip())


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time.replace(tzinfo=UTC))
    return message
