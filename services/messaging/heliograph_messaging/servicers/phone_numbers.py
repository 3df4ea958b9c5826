"""gRPC face of the look-up of telephone numbers."""

from __future__ import annotations

from typing import Any

from heliograph.messaging.v1 import phone_numbers_pb2, phone_numbers_pb2_grpc
from heliograph_messaging.service.phone_numbers import PhoneNumbers


class PhoneNumberServicer(phone_numbers_pb2_grpc.PhoneNumberServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, numbers: PhoneNumbers) -> None:
        """Take the look-up."""
        self._numbers = numbers

    async def ValidatePhoneNumber(
        self, request: phone_numbers_pb2.ValidatePhoneNumberRequest, context: Any
    ) -> phone_numbers_pb2.ValidatePhoneNumberResponse:
        """Tell what the numbering plans say about a number."""
        known = await self._numbers.validate(request.phone_number, request.country_code_iso2)
        return phone_numbers_pb2.ValidatePhoneNumberResponse(
            phone_type=phone_numbers_pb2.PhoneType.Value(f"PHONE_TYPE_{known.phone_type}"),
            phone_type_code=known.phone_type.code,
            cleansed_phone_number_e164=known.e164,
            cleansed_phone_number_national=known.national,
            original_phone_number=request.phone_number,
            original_country_code_iso2=request.country_code_iso2,
            country=known.country,
            country_code_iso2=known.region,
            country_code_numeric=known.country_code,
            carrier=known.carrier,
            city=known.city,
            time_zone=known.time_zone,
        )
