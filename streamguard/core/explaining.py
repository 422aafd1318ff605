"""Which segments explain a change that all of them together show."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from streamguard.core.history import Mean

_TOLD = 3
# Below this share of the change a segment is no lead.
_SALIENT = 0.2

Levels = Sequence[tuple[Mapping[str, str | None], Mean, Mean]]
"""Each segment, with its level before the onset of the change, and since."""


def leading(levels: Levels) -> list[dict[str, Any]]:
    """The segments that the rise of the whole is made of, the largest part first.

    A segment's part is how much its losses, over all outcomes, have grown: so it counts how much worse a segment is,
    and how much of the traffic is its. `before` is null of one that is new.
    """
    before_count = sum(before.count for _, before, _ in levels)
    after_count = sum(after.count for _, _, after in levels)
    if not before_count or not after_count:
        return []
    parts = [(each[2].total / after_count - each[1].total / before_count, each) for each in levels]
    rise = math.fsum(part for part, _ in parts if part > 0)
    ranked = sorted(parts, key=lambda pair: (-pair[0], repr(pair[1][0])))[:_TOLD]
    return [
        {
            "segment": dict(segment),
            "before": round(before.rate, 6) if before.count else None,
            "after": round(after.rate, 6),
            "share": round(part / rise, 3),
        }
        for part, (segment, before, after) in ranked
        if part > 0 and part >= _SALIENT * rise
    ]


def told(each: Mapping[str, Any]) -> str:
    """One of them in words."""
    name = ", ".join(f"{field}={value}" for field, value in each["segment"].items())
    before = "new" if each["before"] is None else f"{each['before']:.1%} -> {each['after']:.1%}"
    return f"{each['share']:.0%} of it: {name} ({before})"
