"""Sending frames over one connection, with as few round trips as RFC 2920 allows, and knowing what became of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from heliograph_channel_smtp.mime import Frame
from heliograph_channel_smtp.replies import Reply, rejection
from heliograph_channel_smtp.wire import Account, Lost, Wire
from heliograph_channels import Accepted, Rejected, RejectReason, SendResult, Unknown, Unsupported

__all__ = ["Delivery", "Job"]

_AT_ONCE = 64 * 1024


@dataclass(slots=True)
class Job:
    """A frame on its way, its place in the batch, and how many connections were lost under it."""

    place: int
    frame: Frame
    losses: int = 0


class Delivery:
    """The jobs of one batch and their results. Several connections (`active`) may `run` it at once."""

    def __init__(self, account: Account, jobs: deque[Job], results: list[SendResult | None]) -> None:
        """Take the jobs; each ends as a result in its place."""
        self._account = account
        self.jobs = jobs
        self.active = 0
        self._results = results

    def settle(self, job: Job, result: SendResult) -> None:
        """Record what became of a job."""
        self._results[job.place] = result

    def give_up(self, result: Rejected) -> None:
        """Give every job that is left the same answer."""
        while self.jobs:
            self.settle(self.jobs.popleft(), result)

    async def run(self, wire: Wire, more: Callable[[Wire], bool]) -> None:
        """Send jobs while there are any and `more` says the connection may carry another.

        A job whose connection is lost before its final dot was written is put back, once. After the dot it is Unknown:
        the server may have taken it (reliability P10).

        Raises:
            Lost: the connection is gone; every job it carried has a result or is back in line.
        """
        pipelining = "PIPELINING" in wire.extensions
        job = self._next(wire)
        reset = opened = False
        while job is not None:
            current, follower, dotted = job, None, False
            try:
                mail, rcpt, data = await self._envelope(wire, current, reset, pipelining, opened)
                if data is None or data.code != 354:
                    self.settle(current, _refusal(mail, rcpt, data))
                    reset, opened, job = True, False, self._next(wire) if more(wire) else None
                    continue
                if rcpt is None or rcpt.code >= 300 or mail.code >= 300:
                    # No recipient, and yet the server waits for content: give it none (RFC 2920 3.1).
                    wire.write(b".\r\n")
                    await wire.read(self._account.content_timeout)
                    self.settle(current, _refusal(mail, rcpt, data))
                    reset, opened, job = True, False, self._next(wire) if more(wire) else None
                    continue
                content = current.frame.content
                if len(content) > _AT_ONCE:
                    wire.write(content[:-3])  # as long as the dot is not written, a loss is harmless
                    await wire.drain(self._account.content_timeout)
                    content = content[-3:]
                wire.sent += 1
                follower = self._next(wire) if pipelining and more(wire) else None
                dotted = True
                wire.write(content + (_commands(follower.frame, wire, self._account.notices) if follower else b""))
                reply = await wire.read(self._account.content_timeout)
                self.settle(current, _outcome(current.frame, reply))
                if reply.code == 421:
                    wire.abort("the server said 421")
                reset, opened = False, follower is not None
                job = follower or (self._next(wire) if more(wire) else None)
            except Lost as error:
                if follower is not None:
                    self._lost(follower, dotted=False, why=str(error))
                self._lost(current, dotted=dotted, why=str(error))
                raise
        if reset:
            wire.write(b"RSET\r\n")
            await wire.read(self._account.command_timeout)

    def _next(self, wire: Wire) -> Job | None:
        """Take the next job this server can carry; answer those it cannot."""
        while self.jobs:
            job = self.jobs.popleft()
            size = wire.extensions.get("SIZE", "")
            if job.frame.needs_utf8 and "SMTPUTF8" not in wire.extensions:
                self.settle(job, Unsupported("SMTPUTF8"))
            elif not job.frame.content.isascii() and "8BITMIME" not in wire.extensions:
                self.settle(job, Unsupported("8BITMIME"))
            elif size.isdigit() and 0 < int(size) < len(job.frame.content):
                detail = f"the server takes at most {size} octets"
                self.settle(job, Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=detail))
            else:
                return job
        return None

    async def _envelope(
        self, wire: Wire, job: Job, reset: bool, pipelining: bool, opened: bool
    ) -> tuple[Reply, Reply | None, Reply | None]:
        """Speak MAIL, RCPT and DATA (already written if `opened`); None stands for a command not reached."""
        time = self._account.command_timeout
        if pipelining:
            if not opened:
                wire.write((b"RSET\r\n" if reset else b"") + _commands(job.frame, wire, self._account.notices))
                if reset:
                    _go_on(await wire.read(time))
            mail = _go_on(await wire.read(time))
            rcpt = _go_on(await wire.read(time))
            return mail, rcpt, _go_on(await wire.read(time))
        if reset:
            _go_on(await wire.command("RSET", time))
        first, second, third = _lines(job.frame, wire, self._account.notices)
        wire.write(first)
        mail = _go_on(await wire.read(time))
        if mail.code >= 300:
            return mail, None, None
        wire.write(second)
        rcpt = _go_on(await wire.read(time))
        if rcpt.code >= 300:
            return mail, rcpt, None
        wire.write(third)
        return mail, rcpt, _go_on(await wire.read(time))

    def _lost(self, job: Job, *, dotted: bool, why: str) -> None:
        if dotted:
            self.settle(job, Unknown(f"after the message was handed over, {why}"))
        elif job.losses == 0:
            job.losses = 1
            self.jobs.appendleft(job)
        else:
            self.settle(job, Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=why))


def _lines(frame: Frame, wire: Wire, notices: str) -> tuple[bytes, bytes, bytes]:
    """Write MAIL, RCPT and DATA with the parameters this server understands."""
    offered = wire.extensions
    mail, rcpt = b"MAIL FROM:" + frame.mail_from, b"RCPT TO:" + frame.rcpt_to
    if "SIZE" in offered:
        mail += b" SIZE=%d" % (len(frame.content) - 3)  # RFC 1870; the final dot is not counted
    if not frame.content.isascii():
        mail += b" BODY=8BITMIME"
    if frame.needs_utf8 and "SMTPUTF8" in offered:
        mail += b" SMTPUTF8"
    if notices and "DSN" in offered:
        # RFC 3461: the id comes back as Original-Envelope-Id, of the message only its header.
        mail += b" RET=HDRS ENVID=" + frame.message_id.partition("@")[0].encode()
        rcpt += b" NOTIFY=" + (b"SUCCESS,FAILURE,DELAY" if notices == "delivery" else b"FAILURE,DELAY")
        if frame.rcpt_to.isascii():
            rcpt += b" ORCPT=rfc822;" + _xtext(frame.rcpt_to[1:-1])
    return mail + b"\r\n", rcpt + b"\r\n", b"DATA\r\n"


def _xtext(octets: bytes) -> bytes:
    """Encode what must not stand in a parameter (RFC 3461 4); an address has neither blanks nor control characters."""
    return octets.replace(b"+", b"+2B").replace(b"=", b"+3D")


def _commands(frame: Frame, wire: Wire, notices: str) -> bytes:
    return b"".join(_lines(frame, wire, notices))


def _go_on(reply: Reply) -> Reply:
    """Treat 421 as the end of the connection: the server says it will close, whatever was asked (RFC 5321 3.8)."""
    if reply.code == 421:
        raise Lost(f"the server said {reply.text}")
    return reply


def _outcome(frame: Frame, reply: Reply) -> SendResult:
    return Accepted(frame.message_id) if reply.code < 300 else rejection("content", reply)


def _refusal(mail: Reply, rcpt: Reply | None, data: Reply | None) -> Rejected:
    if mail.code >= 300:
        return rejection("MAIL", mail)
    if rcpt is not None and rcpt.code >= 300:
        return rejection("RCPT", rcpt)
    return rejection("DATA", data if data is not None else mail)
