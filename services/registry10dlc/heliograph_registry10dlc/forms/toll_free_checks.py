"""What the fields of a toll-free registration say together (pinpoint-2 4.10). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_registry10dlc.domain import Complain
from heliograph_registry10dlc.forms.brand_checks import US, check_tax_id
from heliograph_registry10dlc.wording.links import find_links

_TAX_ID = "companyInfo.taxId"
_COUNTRY, _AUTHORITY = "companyInfo.taxIdIssuingCountry", "companyInfo.taxIdAuthority"
_SENT = (
    *(f"messageSamples.messageSample{number}" for number in range(1, 4)),
    "messagingUseCase.useCaseDetails",
    "messagingUseCase.optInDescription",
    "companyInfo.website",
)


def check_toll_free(values: Mapping[str, str], complain: Complain) -> None:
    """Tell what does not go together; what is missing is told elsewhere."""
    country, authority = values.get(_COUNTRY, ""), values.get(_AUTHORITY, "")
    check_tax_id(_TAX_ID, values.get(_TAX_ID, ""), US if authority == "EIN" else "", complain)
    if authority == "EIN" and country not in ("", US):
        complain(_AUTHORITY, f"EIN is an authority of the US, the country is {country}", "AUTHORITY_MISMATCH")
    # The carriers refuse them whatever number they come from (pinpoint-2 2.4).
    for path in _SENT:
        hosts = dict.fromkeys(link.host for link in find_links(values.get(path, "")) if link.public_shortener)
        if hosts:
            words = f"public link shorteners are not accepted ({', '.join(hosts)}); use a domain of your own"
            complain(path, words, "PUBLIC_SHORTENER")
