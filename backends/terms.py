"""What is not physics about a backend: price, queue, availability, how it can be reached. Read from `backends/data/`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backends.errors import BackendError
from schemas.calibration import Hop, Maintenance, Price, Route


@dataclass(frozen=True, slots=True)
class Terms:
    """The fields of `CalibrationUpdated` that `calibration_id` does not cover; iterates over (field, value)."""

    price: Price
    queue_length: int
    queue_seconds: float
    availability: float
    crypto_suites: tuple[str, ...]
    routes: tuple[Route, ...]
    links: tuple[Hop, ...] = ()
    region: str = ""
    maintenance: tuple[Maintenance, ...] = ()
    drifts: bool = False

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in self.__slots__)


def terms_of(name: str) -> Terms:
    """The terms of a backend; those of its family where it has none of its own (`ibm` for `ibm:ibm_torino`).

    Raises:
        BackendError: the data file has no row for it.
    """
    data = _data()
    row = data["backends"].get(name, data["backends"].get(name.partition(":")[0]))
    if row is None:
        raise BackendError(f"backends/data/terms.json has no row for {name!r}; add price, endpoint and routes there")
    return Terms(
        price=Price(**data["prices"][row["price"]]),
        queue_length=row["queue_length"],
        queue_seconds=row["queue_seconds"],
        availability=row["availability"],
        crypto_suites=tuple(data["endpoints"][row["endpoint"]]),
        routes=tuple(_route(route, data["routes"][route], name) for route in row["routes"]),
        links=tuple(Hop(**link) for link in row.get("links", ())),
        region=row.get("region", ""),
        maintenance=tuple(Maintenance.model_validate(window) for window in row.get("maintenance", ())),
        drifts=row.get("drifts", False),
    )


def cost(price: Price, shots: int, execution_seconds: float) -> float:
    """What a run costs, in USD: per job + per shot x shots + per second x execution seconds."""
    return price.per_job_usd + price.per_shot_usd * shots + price.per_second_usd * execution_seconds


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "terms.json").read_text())
    return data


def _route(route: str, hops: list[dict[str, Any]], name: str) -> Route:
    """The route with the backend put in for the target `*`."""
    return Route(
        name=route,
        hops=tuple(Hop(source=hop["source"], target=hop["target"].replace("*", name), suites=tuple(hop["suites"])) for hop in hops),
    )
