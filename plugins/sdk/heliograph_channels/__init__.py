"""Heliograph's channel SDK: everything a plugin needs, and nothing that needs more than pluggy.

A plugin implements the hook `heliograph_channels` (or `heliograph_registrars`) and registers its module under the entry
point group of the same name with a dot. docs/plugin-guide.md goes from nothing to a tested package.
"""

from heliograph_channels.addresses import address_problem, email_problem, phone_problem
from heliograph_channels.hooks import CHANNELS, REGISTRARS, hookimpl
from heliograph_channels.inbound import (
    Forged,
    InboundMessage,
    Received,
    WebhookRequest,
    callback_url,
    called_message,
)
from heliograph_channels.loading import PluginError, load_channels, load_registrars
from heliograph_channels.messages import (
    Attachment,
    Content,
    CustomContent,
    EmailContent,
    Kind,
    MessageClass,
    OutgoingMessage,
    PushContent,
    SmsContent,
    VoiceContent,
)
from heliograph_channels.providers import (
    Capabilities,
    ChannelProvider,
    Deliver,
    Health,
    ProviderContext,
    Report,
    Sender,
)
from heliograph_channels.registrars import (
    ERRANDS,
    Decision,
    DecisionState,
    Finding,
    Refused,
    Registrar,
    Submission,
    SubmissionKind,
)
from heliograph_channels.results import (
    Accepted,
    Receipt,
    ReceiptKind,
    Rejected,
    RejectReason,
    SendResult,
    Unknown,
    Unsupported,
)
from heliograph_channels.schema import Problem, problems_of, secret_fields, with_defaults
from heliograph_channels.simulated import SIMULATOR_NUMBERS
from heliograph_channels.texts import sms_problem

__all__ = [
    "CHANNELS",
    "ERRANDS",
    "REGISTRARS",
    "SIMULATOR_NUMBERS",
    "Accepted",
    "Attachment",
    "Capabilities",
    "ChannelProvider",
    "Content",
    "CustomContent",
    "Decision",
    "DecisionState",
    "Deliver",
    "EmailContent",
    "Finding",
    "Forged",
    "Health",
    "InboundMessage",
    "Kind",
    "MessageClass",
    "OutgoingMessage",
    "PluginError",
    "Problem",
    "ProviderContext",
    "PushContent",
    "Receipt",
    "ReceiptKind",
    "Received",
    "Refused",
    "Registrar",
    "RejectReason",
    "Rejected",
    "Report",
    "SendResult",
    "Sender",
    "SmsContent",
    "Submission",
    "SubmissionKind",
    "Unknown",
    "Unsupported",
    "VoiceContent",
    "WebhookRequest",
    "address_problem",
    "callback_url",
    "called_message",
    "email_problem",
    "hookimpl",
    "load_channels",
    "load_registrars",
    "phone_problem",
    "problems_of",
    "secret_fields",
    "sms_problem",
    "with_defaults",
]
