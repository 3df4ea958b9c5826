"""The tables of the messaging service, schema `messaging`. The project comes first in every key."""

from heliograph_messaging.tables.channels import channels, numbers, routes
from heliograph_messaging.tables.content import files, requests, template_versions, templates
from heliograph_messaging.tables.edge import endpoint_marks, inbound_messages, otp_sends, otps, tracking_keys
from heliograph_messaging.tables.ledger import batches, chunks, erased, erasures, messages, provider_messages, receipts
from heliograph_messaging.tables.policy import (
    allowances,
    calendars,
    counted_projects,
    source_touches,
    suppression_keys,
    suppressions,
    touches,
    turns,
)
from heliograph_messaging.tables.schema import mail, metadata
from heliograph_messaging.tables.sms import (
    automatic_replies,
    conversations,
    keywords,
    opt_out_lists,
    opted_out_numbers,
    origination_settings,
    pools,
    sms_settings,
    spending,
)

__all__ = [
    "allowances",
    "automatic_replies",
    "batches",
    "calendars",
    "channels",
    "chunks",
    "conversations",
    "counted_projects",
    "endpoint_marks",
    "erased",
    "erasures",
    "files",
    "inbound_messages",
    "keywords",
    "mail",
    "messages",
    "metadata",
    "numbers",
    "opt_out_lists",
    "opted_out_numbers",
    "origination_settings",
    "otp_sends",
    "otps",
    "pools",
    "provider_messages",
    "receipts",
    "requests",
    "routes",
    "sms_settings",
    "source_touches",
    "spending",
    "suppression_keys",
    "suppressions",
    "template_versions",
    "templates",
    "touches",
    "tracking_keys",
    "turns",
]
