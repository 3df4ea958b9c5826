"""gRPC as every service uses it: the server, channels to others, and what a refused call says."""

from heliograph_kit.rpc.answers import details_of, metadata_of, reason_of, violations_of
from heliograph_kit.rpc.client import channel
from heliograph_kit.rpc.fingerprint import fingerprint
from heliograph_kit.rpc.server import AddressTaken, Limits, RpcServer

__all__ = [
    "AddressTaken",
    "Limits",
    "RpcServer",
    "channel",
    "details_of",
    "fingerprint",
    "metadata_of",
    "reason_of",
    "violations_of",
]
