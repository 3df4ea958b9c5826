"""The audience of the segments figures: endpoint number n, as a row to import and as a message."""

from __future__ import annotations

from pathlib import Path

from heliograph.segments.v1 import endpoints_pb2

PROJECT = "bench"
PARENT = f"projects/{PROJECT}"
FIELDS = ("User.UserAttributes.First", "Attributes.Plan", "Location.City", "Metrics.Score")
"""What a template or a step asks of each member."""

_PLANS = ("free", "bronze", "silver", "gold", "platinum", "staff", "trial", "former")
_CITIES = ("Lyon", "Kiel", "Porto", "Turin", "Gent", "Bergen", "Basel", "Graz", "Brno", "Riga")
_COUNTRIES = ("FR", "DE", "PT", "IT", "BE", "NO", "CH", "AT", "CZ", "LV")
_ZONES = ("Europe/Paris", "Europe/Berlin", "Europe/Lisbon", "Europe/Rome", "Europe/Brussels")
_HEADER = (
    "Id,ChannelType,Address,User.UserId,User.UserAttributes.First,User.UserAttributes.Tier,Attributes.Plan,"
    "Attributes.Shop,Attributes.Interest,Metrics.Score,Metrics.Orders,Location.Country,Location.City,"
    "Demographic.Platform,Demographic.Timezone\n"
)


def write_csv(path: Path, count: int) -> int:
    """Write endpoints 0 .. count-1 as the file of an import; returns its size in bytes."""
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        file.writelines(
            f"e{n},EMAIL,person{n}@example.com,u{n},Ann {n % 5000},{n % 4},{_PLANS[n % 8]},shop-{n % 500},"
            f"interest-{n % 50},{n % 1000},{n % 37},{_COUNTRIES[n % 10]},{_CITIES[n % 10]},"
            f"{'ios' if n % 3 else 'android'},{_ZONES[n % 5]}\n"
            for n in range(count)
        )
    return path.stat().st_size


def change_of(n: int) -> endpoints_pb2.Endpoint:
    """Return an update of endpoint n as an application reports it: some attributes, a metric, the user."""
    lists = endpoints_pb2.StringList
    return endpoints_pb2.Endpoint(
        endpoint_id=f"e{n}",
        channel_type="EMAIL",
        address=f"person{n}@example.com",
        attributes={"Plan": lists(values=[_PLANS[n % 7]]), "Seen": lists(values=[f"page-{n % 90}"])},
        metrics={"Score": float(n % 1000) + 1},
        demographic=endpoints_pb2.Demographic(app_version="2.1", platform="ios"),
        user=endpoints_pb2.EndpointUser(user_id=f"u{n}"),
    )
