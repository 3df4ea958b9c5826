"""Pings that find dead connections: how often clients send them, and how often servers let them.

A server counts pings that come sooner than its minimum, unless it wrote something in between, and closes the connection with
GOAWAY `too_many_pings` at the third. gRPC's own minimum is five minutes, and two hours while no call is open: whoever serves
our clients has to set both. Beside keepalive a client that receives pings once a second or less to measure the way; those
follow what the server wrote and do not count.
"""

from __future__ import annotations

from datetime import timedelta

PING_EVERY = timedelta(seconds=30)
"""How often a client pings on a connection that is still. gRPC sends no more than one a second."""
MOST_MINIMUM_SECONDS = 15
"""The largest minimum of a server: half of what clients keep to, so that a ping that is held up on its way does not count."""


def client_options(every: timedelta = PING_EVERY) -> list[tuple[str, int]]:
    """Return the options of a channel: pings also while no call is open, and without end."""
    return [
        ("grpc.keepalive_time_ms", int(every.total_seconds() * 1000)),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def server_options(min_interval_seconds: float) -> list[tuple[str, int]]:
    """Return the options of a server: which pings it takes, and its own."""
    return [
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # gRPC takes options it does not know without a word: the name is not that of the constant, MIN_RECV_PING_INTERVAL_...
        ("grpc.http2.min_ping_interval_without_data_ms", int(min_interval_seconds * 1000)),
        ("grpc.http2.max_ping_strikes", 2),
    ]
