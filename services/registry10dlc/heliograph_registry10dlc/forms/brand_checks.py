"""What the fields of a brand say together (pinpoint-2 4.2). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heliograph_registry10dlc.domain import Complain
from heliograph_registry10dlc.wording.links import domain_of, find_links, host_of

US, CANADA = "US", "CA"
COUNTRY = "companyInfo.taxIdIssuingCountry"
TAX_ID = "companyInfo.taxId"
LEGAL_TYPE = "companyInfo.legalType"
CONTACT = "companyInfo.businessContactEmail"
WEBSITE = "contactInfo.website"
_EIN = re.compile(r"[0-9]{9}")
# A business number of the CRA with one of its programme accounts, as in 123456789RC0001.
_CRA_ACCOUNT = re.compile(r"[0-9]{9} ?R[A-Z] ?[0-9]{4}")
_ONLY_US = ("NON_PROFIT", "GOVERNMENT")


def check_brand(values: Mapping[str, str], complain: Complain) -> None:
    """Tell what does not go together; what is missing is told elsewhere."""
    country, tax_id = values.get(COUNTRY, ""), values.get(TAX_ID, "")
    check_tax_id(TAX_ID, tax_id, country, complain)
    legal_type = values.get(LEGAL_TYPE, "")
    if legal_type in _ONLY_US and country not in ("", US):
        words = f"{legal_type} is for US bodies; register as PRIVATE_PROFIT"
        complain(LEGAL_TYPE, words, "LEGAL_TYPE_ONLY_US")
    website = host_of(values.get(WEBSITE, ""))
    contact = host_of(values.get(CONTACT, ""))
    if legal_type == "PUBLIC_PROFIT" and website and contact and domain_of(contact) != domain_of(website):
        words = f"must be an address at {domain_of(website)}, the domain of the website"
        complain(CONTACT, words, "UNOFFICIAL_EMAIL_DOMAIN")
    if any(link.public_shortener for link in find_links(values.get(WEBSITE, ""))):
        complain(WEBSITE, "must be the company's own website, not a link shortener", "PUBLIC_SHORTENER")


def check_tax_id(path: str, tax_id: str, country: str, complain: Complain) -> None:
    """Tell when a tax id is not the one its country is asked for."""
    if not tax_id:
        return
    if country == US and not _EIN.fullmatch(tax_id):
        complain(path, "must be the EIN: nine digits, without a hyphen", "INVALID_EIN")
    elif country == CANADA and _CRA_ACCOUNT.fullmatch(tax_id.upper()):
        complain(path, "must be the corporation number, not the business number of the CRA", "CRA_NUMBER_NOT_ALLOWED")
