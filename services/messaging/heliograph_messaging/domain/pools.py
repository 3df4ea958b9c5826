"""Who may be in a pool with whom (pinpoint-2 3.3). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heliograph_messaging.domain.keywords import Keyword

MAX_POOLS = 25
MAX_MEMBERS = 100
DEFAULT_LIST = "Default"


@dataclass(frozen=True, slots=True)
class Setup:
    """What numbers of one pool share. `message_type` empty: both types."""

    message_type: str = ""
    opt_out_list: str = DEFAULT_LIST
    two_way: bool = False
    self_managed_opt_outs: bool = False


def mismatches(
    number: Setup, pool: Setup, number_keywords: Mapping[str, Keyword], pool_keywords: Mapping[str, Keyword]
) -> list[str]:
    """Return in which ways a number is set up otherwise than a pool, as reasons; empty: it may join."""
    differ = {
        "MESSAGE_TYPE_MISMATCH": number.message_type != pool.message_type,
        "OPT_OUT_LIST_MISMATCH": number.opt_out_list != pool.opt_out_list,
        "TWO_WAY_CONFIG_MISMATCH": number.two_way != pool.two_way,
        "SELF_MANAGED_OPT_OUTS_MISMATCH": number.self_managed_opt_outs != pool.self_managed_opt_outs,
        "KEYWORD_MISMATCH": number_keywords != pool_keywords,
    }
    return [reason for reason, different in differ.items() if different]
