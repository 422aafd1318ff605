"""Data that are cut and merged in all ways, and what they must agree on."""

import random
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st


class Mergeable(Protocol):
    """What can take another's data."""

    def merge(self, other: Any) -> None: ...


Made = TypeVar("Made", bound=Mergeable)
Value = TypeVar("Value")

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-10, 10),
    st.integers(-1000, 1000).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, -1e300, 1_700_000_000_000.0]),
)
WORDS = st.text(st.sampled_from("abAB 09.Äß\t\n"), max_size=12)
JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(),
    WORDS,
    st.text(max_size=5),
    st.lists(st.integers(0, 9), max_size=2),
)


def merged(new: Callable[[], Made], add: Callable[[Made, list[Value]], object], values: list[Value]) -> Made:
    """The values in another order, cut anywhere, each part taken by itself, and merged pair by pair."""
    chance = random.Random(len(values))  # noqa: S311 - of tests
    shuffled = chance.sample(values, len(values))
    cuts = sorted(chance.choices(range(len(values) + 1), k=chance.randrange(5)))
    parts = []
    for first, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        part = new()
        add(part, shuffled[first:end])
        parts.append(part)
    while len(parts) > 1:
        last = parts.pop(chance.randrange(len(parts)))
        parts[chance.randrange(len(parts))].merge(last)
    return parts[0]
