"""Predictions of a payment model, and what may happen to their format overnight."""

import random
from collections.abc import Callable, Iterator
from typing import Any

Record = dict[str, Any]
Change = Callable[[Record, random.Random], None]

FIRST_MS = 1_764_547_200_000
EVERY_MS = 10
"""A hundred records a second."""
FEATURES = 12


def clean(rng: random.Random, number: int) -> Record:
    """A record as it should be; now and then a field is null or missing, as everywhere."""
    record: Record = {
        "request_id": f"{rng.getrandbits(128):032x}",
        "prediction": rng.choice(["fraud", "honest", "honest", "honest"]),
        "timestamp": FIRST_MS + number * EVERY_MS,
        "model": "payments",
        "version": "7",
        "score": rng.random(),
        "currency": rng.choice(["EUR", "USD", "CHF"]),
        "amount": round(rng.lognormvariate(3.5, 1.1), 2),
        "merchant": {"country": rng.choice(["DE", "FR", "ES"]), "category": rng.randrange(20)},
        "device": None if rng.random() < 0.02 else rng.choice(["phone", "web"]),
        "features": {f"f{each}": rng.gauss(0, 1) for each in range(FEATURES)},
    }
    if rng.random() < 0.1:
        record["coupon"] = "spring"
    return record


def _rename(record: Record, _: random.Random) -> None:
    record["amt"] = record.pop("amount")


def _type(record: Record, _: random.Random) -> None:
    record["amount"] = str(record["amount"])


def _missing(record: Record, _: random.Random) -> None:
    del record["currency"]


def _value(record: Record, rng: random.Random) -> None:
    if rng.random() < 0.1:
        record["currency"] = "GBP"


def _unit(record: Record, _: random.Random) -> None:
    record["amount"] = round(record["amount"] * 1000)


def _nesting(record: Record, _: random.Random) -> None:
    record["payment"] = {"amount": record.pop("amount"), "currency": record["currency"]}


def _nulls(record: Record, rng: random.Random) -> None:
    if rng.random() < 0.2:
        record["device"] = None


CHANGES: dict[str, tuple[Change, str, str]] = {
    "rename": (_rename, "amount", "missing"),
    "type": (_type, "amount", "type"),
    "missing": (_missing, "currency", "missing"),
    "new enum value in a tenth": (_value, "currency", "value"),
    "unit times 1000": (_unit, "amount", "range"),
    "nesting": (_nesting, "amount", "missing"),
    "null rate 2% to 22%": (_nulls, "device", "null"),
}
"""What is done, the field that it is done to, and what it is called."""


def records(
    count: int, seed: int, change: Change | None = None, since: int = 0, version: str = "8"
) -> Iterator[Record]:
    """Records in order of time; from `since` on changed, and of the next version."""
    rng = random.Random(seed)
    for number in range(count):
        record = clean(rng, number)
        if change is not None and number >= since:
            change(record, rng)
            record["version"] = version
        yield record
