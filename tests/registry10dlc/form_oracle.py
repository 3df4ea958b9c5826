"""The rules of the forms once more, slow and plain, from the files themselves: what the check must not overlook.

It reads the words that the property test builds its texts of; it is no second implementation for any text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from heliograph_registry10dlc.domain import Kind

U, M, C = "campaignUseCase.", "campaignInfo.", "companyInfo."
SAMPLES = [f"messageSamples.messageSample{n}" for n in range(1, 6)]


def broken(kind: Kind, values: Mapping[str, str], brand: Mapping[str, str]) -> list[str]:
    """Name the rules that a form breaks when it is handed in."""
    text = (files("heliograph_registry10dlc") / "data" / "forms" / f"{kind.lower()}.json").read_text("utf-8")
    fields = json.loads(text)["fields"]
    found = [f"unknown {path}" for path in values if path not in {field["path"] for field in fields}]
    for field in fields:
        found += field_broken(field, values)
    together = {Kind.BRAND: brand_broken, Kind.USE_CASE: use_case_broken, Kind.TOLL_FREE: toll_free_broken}
    return found + together[kind](values, brand)


def field_broken(field: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """Name what is wrong with one field."""
    path = field["path"]
    value = values.get(path, "")
    condition = field.get("condition", {"path": "", "values": []})
    asked = field["requirement"] == "REQUIRED" or values.get(condition["path"]) in condition["values"]
    if not value:
        return [f"{path} is missing"] if asked else []
    allowed = [choice["value"] for choice in field.get("choices", ())]
    if field["type"] == "CHOICE":
        return [] if value in allowed else [f"{path} is no choice"]
    if field["type"] == "CHOICES":
        parts = [part.strip() for part in value.split(",")]
        counts = {count["value"]: range(count["min"], count["max"] + 1) for count in field["counts"]}
        fits = len(parts) in counts.get(values.get(condition["path"], ""), ()) and len(value) <= field["max_length"]
        return [] if fits and set(parts) <= set(allowed) and len(set(parts)) == len(parts) else [f"{path} is no choice"]
    if not field.get("min_length", 0) <= len(value) <= field["max_length"]:
        return [f"{path} is too short or too long"]
    whole = re.compile(field.get("pattern", ".*"), re.DOTALL)
    return [] if whole.fullmatch(value) else [f"{path} does not look right"]


def brand_broken(values: Mapping[str, str], _: Mapping[str, str]) -> list[str]:
    """Name what does not go together in a brand."""
    found = []
    if values.get(f"{C}taxIdIssuingCountry") == "US" and not re.fullmatch(r"\d{9}", values.get(f"{C}taxId", "")):
        found.append("no EIN")
    if values.get(f"{C}legalType") in ("NON_PROFIT", "GOVERNMENT") and values.get(f"{C}taxIdIssuingCountry") != "US":
        found.append("not of the US")
    contact = values.get(f"{C}businessContactEmail", "")
    if values.get(f"{C}legalType") == "PUBLIC_PROFIT" and "@" in contact and not contact.endswith("example.com"):
        found.append("other domain")
    return found


def use_case_broken(values: Mapping[str, str], brand: Mapping[str, str]) -> list[str]:
    """Name what does not go together in a use case."""
    found = []
    samples = [values[path] for path in SAMPLES if path in values]
    said = " ".join(samples)
    short = [
        values.get(path, "") for path in (*SAMPLES, f"{M}optInWorkflow", f"{M}optInMessage", f"{U}embeddedLinkSample")
    ]
    if any("bit.ly" in text for text in short):
        found.append("public shortener")
    if any("example" not in text.lower() for text in samples):
        found.append("brand not named")
    if any(len(text.replace("{#var}", "").strip()) < 20 for text in samples):
        found.append("too little text")
    linked = any(link in said for link in ("bit.ly", "https://", "exrc.co"))
    shown = values.get(f"{U}embeddedLinkSample", "")
    if linked and (values.get(f"{U}embeddedLink") != "Yes" or not shown):
        found.append("link not declared")
    if shown and not any(link in shown for link in ("bit.ly", "https://", "exrc.co")):
        found.append("no sample of a link")
    if "exrc.co" in said + values.get(f"{M}optInMessage", "") and "exrc.co" not in shown:
        found.append("no sample of a short link")
    if "206-555-0199" in said and values.get(f"{U}embeddedPhone") != "Yes":
        found.append("phone not declared")
    contacts = ("bit.ly", "https://", "exrc.co", "206-555-0199", "+12065550100", "@")
    if not any(contact in values.get(f"{M}helpMessage", "") for contact in contacts):
        found.append("no contact")
    if "no more messages" not in values.get(f"{M}stopMessage", ""):
        found.append("end not told")
    if values.get(f"{U}useCase") == "CHARITY" and brand.get(f"{C}legalType") != "NON_PROFIT":
        found.append("no charity")
    return found


def toll_free_broken(values: Mapping[str, str], _: Mapping[str, str]) -> list[str]:
    """Name what does not go together in a toll-free registration."""
    found = []
    ein = values.get(f"{C}taxIdAuthority") == "EIN"
    if ein and f"{C}taxId" in values and not re.fullmatch(r"\d{9}", values[f"{C}taxId"]):
        found.append("no EIN")
    said = [*SAMPLES, "messagingUseCase.useCaseDetails", "messagingUseCase.optInDescription"]
    if any("bit.ly" in values.get(path, "") for path in said):
        found.append("public shortener")
    return found
