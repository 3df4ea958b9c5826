"""The letter of the messaging figures: 3 kB of HTML with eight variables, and the values for recipient number n."""

from __future__ import annotations

SIZE = 500
"""Recipients in a batch, as campaigns send them."""

VARIABLES = (
    "Address",
    "User.UserId",
    "User.UserAttributes.First",
    "Attributes.Plan",
    "Location.City",
    "Location.Country",
    "Metrics.Score",
    "Demographic.Make",
)
_STYLE = "p{margin:0 0 12px 0;font:14px sans-serif;color:#333}\n" * 34
_WORDS = "Plenty of fixed words between the variables so that the body weighs what bodies weigh. " * 12
HTML = (
    f"<!doctype html><html><head><title>News</title><style>{_STYLE}</style></head><body>"
    "<p>Hello {{User.UserAttributes.First}},</p><p>You are on {{Attributes.Plan}} in {{Location.City}}, "
    f"{{{{Location.Country}}}}.</p><p>{_WORDS}</p>"
    "<p>{{Address}} {{User.UserId}} {{Metrics.Score}} {{Demographic.Make}}</p></body></html>"
)


def values_of(n: int) -> list[str]:
    """Return the values of a recipient, in the order of VARIABLES."""
    return [f"person{n}@example.com", f"u{n}", f"Ann & {n}", "gold", "Lyon", "FR", str(n % 1000), "apple"]
