"""gRPC face of one-time passwords."""

from __future__ import annotations

from typing import Any

from heliograph.messaging.v1 import otp_pb2, otp_pb2_grpc
from heliograph_kit.names import project_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.domain.otp import DEFAULT_ATTEMPTS, DEFAULT_LANGUAGE, DEFAULT_LENGTH, DEFAULT_VALIDITY, Wish
from heliograph_messaging.service.otp import Asked, Otps
from heliograph_messaging.servicers.waiting import Patience, wait_seconds


class OtpServicer(otp_pb2_grpc.OtpServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, otps: Otps, patience: Patience) -> None:
        """Take the use cases, and what waits for providers."""
        self._otps = otps
        self._patience = patience

    async def SendOTP(self, request: otp_pb2.SendOTPRequest, context: Any) -> otp_pb2.SendOTPResponse:
        """Make a code and send it."""
        seconds, asked = wait_seconds(request), _asked(request)
        answer = await self._otps.send(asked)
        await self._patience.fill(asked.project, [answer.message], seconds)
        return answer

    async def VerifyOTP(self, request: otp_pb2.VerifyOTPRequest, context: Any) -> otp_pb2.VerifyOTPResponse:
        """Tell whether a code is right."""
        project = project_of(request.parent, field="parent")
        valid = await self._otps.verify(project, request.destination, request.reference_id, request.otp)
        return otp_pb2.VerifyOTPResponse(valid=valid)


def _asked(request: otp_pb2.SendOTPRequest) -> Asked:
    copy = otp_pb2.SendOTPRequest()
    copy.CopyFrom(request)
    copy.ClearField("wait_for_result")
    validity = DEFAULT_VALIDITY
    if request.HasField("validity_period"):
        validity = request.validity_period.ToTimedelta()
    return Asked(
        project=project_of(request.parent, field="parent"),
        channel=request.channel,
        destination=request.destination,
        origination=request.origination,
        wish=Wish(
            request.brand_name,
            request.reference_id,
            request.code_length or DEFAULT_LENGTH,
            validity,
            request.allowed_attempts or DEFAULT_ATTEMPTS,
            request.language or DEFAULT_LANGUAGE,
        ),
        entity_id=request.entity_id,
        template_id=request.template_id,
        request_id=request.request_id,
        fingerprint=fingerprint(copy),
    )
