"""Frames of HTTP/2 as push-apns reads them, wherever they were cut."""

from __future__ import annotations

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame

from heliograph_channel_apns.frames import Frames, FramesBroken, GoAway


def frames() -> bytes:
    ping, data = PingFrame(0, opaque_data=b"12345678"), DataFrame(1, data=b"x" * 300)
    goaway = GoAwayFrame(0, last_stream_id=7, error_code=0, additional_data=b'{"reason":"Shutdown"}')
    return b"".join(frame.serialize() for frame in (ping, goaway, data, goaway, ping))


@pytest.mark.parametrize("step", [1, 2, 8, 9, 10, 17, 100, 10_000])
def test_frames_are_whole_wherever_they_were_cut(step: int) -> None:
    cutter = Frames()
    stream = frames()
    pieces = [piece for at in range(0, len(stream), step) for piece in cutter.feed(stream[at : at + step])]
    told = [piece for piece in pieces if isinstance(piece, GoAway)]
    assert told == [GoAway(7, "Shutdown")] * 2
    goaway = GoAwayFrame(0, last_stream_id=7, error_code=0, additional_data=b'{"reason":"Shutdown"}').serialize()
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == stream.replace(goaway, b"")
    assert isinstance(pieces[0], bytes)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\x00\x00\x00\x05\x00\x00\x00\x02", "code 2"),
        (b"\x80\x00\x00\x05\x00\x00\x00\x00not json", "code 0"),
        (b"\x00\x00\x00\x05\x00\x00\x00\x00[1]", "code 0"),
        (b'\x00\x00\x00\x05\x00\x00\x00\x00{"reason": 7}', "code 0"),
        (b"\x00\x00\x00\x05\x00\x00\x00\x00" + b"[" * 5000, "code 0"),
    ],
)
def test_a_goaway_says_which_stream_was_the_last_and_perhaps_why(payload: bytes, words: str) -> None:
    frame = len(payload).to_bytes(3, "big") + b"\x07\x00\x00\x00\x00\x00" + payload
    assert list(Frames().feed(frame)) == [GoAway(5, words)]


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"\x00\x00\x04\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00"],
    ids=["http/1.1", "short"],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FramesBroken):
        list(Frames().feed(data))
