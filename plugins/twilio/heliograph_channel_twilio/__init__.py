"""Heliograph's channels over Twilio: text messages and spoken calls."""

from collections.abc import Sequence

from heliograph_channel_twilio.sms import TwilioSms
from heliograph_channel_twilio.voice import TwilioVoice
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["TwilioSms", "TwilioVoice"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer both channels."""
    return [TwilioSms(), TwilioVoice()]
