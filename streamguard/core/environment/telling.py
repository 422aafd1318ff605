"""Differences between instances, in words and as plain JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamguard.core.environment.facts import PACKAGE
from streamguard.core.printing import printable

_NAMED = 3
_SPLIT = 5
_LISTED = 20
_VALUE_CHARS = 80
_FACTS = 50

Holders = Mapping[str | None, Sequence[str]]
"""Of one fact: by value, the instances that have it."""

Expected = tuple[str | None] | None
"""What instances should have, in a tuple; None where nobody knows."""


def of_group(model: str | None, version: str | None) -> str:
    """` of fraud 7`, or nothing."""
    named = " ".join(printable(each) for each in (model, version) if each is not None)
    return f" of {named}" if named else ""


def difference(fact: str, holders: Holders, expected: Expected, *, is_declared: bool) -> str:
    """`pod-7 runs scikit-learn 1.5, the other 11 run 1.4`."""
    ordered = _ordered(holders)
    if expected is None:
        told = _has(fact, [(str(len(names)), len(names), value) for value, names in ordered[:_SPLIT]])
        return told if len(ordered) <= _SPLIT else f"{told}, and there are {len(ordered) - _SPLIT} more"
    off = [(_who(names), len(names), value) for value, names in ordered if value != expected[0]]
    told = _has(fact, off[:_SPLIT]) + (f", {len(off) - _SPLIT} others" if len(off) > _SPLIT else "")
    rest = len(holders.get(expected[0], ()))
    if is_declared:
        return f"{told}; the declared baseline is {_value(fact, expected[0])}"
    verb = ("runs" if rest == 1 else "run") if fact.startswith(PACKAGE) else ("has" if rest == 1 else "have")
    return f"{told}, the other {rest} {verb} {_value(fact, expected[0])}"


def agreement(fact: str, holders: Holders, before: str | None) -> str:
    """`all 12 run scikit-learn 1.5, 1.4 was usual before`."""
    if not holders:
        return f"no instance reports {_name(fact)} any more"
    value, names = _ordered(holders)[0]
    told = _has(fact, [(f"all {len(names)}" if len(names) > 1 else _who(names), len(names), value)])
    return told if before == value else f"{told}, {_value(fact, before)} was usual before"


def differences(by_fact: Mapping[str, Holders], expected: Mapping[str, Expected], count: int) -> str:
    """Of many packages at once: `pod-7 differs in 80 packages: numpy 1.26 (others 2.0), ...`."""
    parts = []
    off: dict[str, None] = {}
    for fact, holders in by_fact.items():
        wanted = expected[fact]
        others = [value for value, _ in _ordered(holders) if wanted is None or value != wanted[0]]
        for value in others:
            off |= dict.fromkeys(holders[value])
        usual = "" if wanted is None else f" (others {_value(fact, wanted[0])})"
        parts.append(f"{_name(fact)} {' or '.join(_value(fact, value) for value in others[:_NAMED])}{usual}")
    shown = ", ".join(parts[:_NAMED])
    more = f", and {count - _NAMED} more" if count > _NAMED else ""
    verb = "differs" if len(off) == 1 else "differ"
    return f"{_who(list(off))} {verb} in {count} packages: {shown}{more}"


def details(fact: str, holders: Holders, expected: Expected, *, is_declared: bool) -> dict[str, Any]:
    """Instances, values and counts of one fact."""
    return {
        "fact": fact,
        "expected": None if expected is None else expected[0],
        "held_against": None if expected is None else "baseline" if is_declared else "majority",
        "values": [
            {"value": value, "count": len(names), "instances": list(names[:_LISTED])}
            for value, names in _ordered(holders)[:_LISTED]
        ],
    }


def listed(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The details of many facts at once."""
    return {"count": len(each), "facts": list(each[:_FACTS])}


def _has(fact: str, parts: Sequence[tuple[str, int, str | None]]) -> str:
    is_package = fact.startswith(PACKAGE)
    told = []
    for place, (who, count, value) in enumerate(parts):
        verb = ("runs" if count == 1 else "run") if is_package else ("has" if count == 1 else "have")
        what = _name(fact) if place == 0 else ""
        if is_package:
            words = f"{what} {_value(fact, value)}" if value is not None else f"no {what or _name(fact)}"
        else:
            words = f"{what} {_value(fact, value)}"
        told.append(f"{who} {verb} {words.strip()}")
    return ", ".join(told)


def _name(fact: str) -> str:
    return printable(fact.removeprefix(PACKAGE).removeprefix("variable ").removeprefix("fact "))


def _value(fact: str, value: str | None) -> str:
    if value is None:
        words = {PACKAGE: "none", "model file ": "missing", "cpu limit": "no limit", "memory limit": "no limit"}
        return next((text for kind, text in words.items() if fact.startswith(kind)), "unset")
    shown = printable(value)
    return shown if len(shown) <= _VALUE_CHARS else f"{shown[:_VALUE_CHARS]}..."


def _who(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names[:_NAMED]]
    if len(names) > _NAMED:
        return f"{', '.join(shown)} and {len(names) - _NAMED} more"
    return " and ".join((", ".join(shown[:-1]), shown[-1])) if len(shown) > 1 else "".join(shown) or "no instance"


def _ordered(holders: Holders) -> list[tuple[str | None, Sequence[str]]]:
    """The most frequent first; of as many, by value."""
    return sorted(holders.items(), key=lambda each: (-len(each[1]), each[0] is None, each[0] or ""))
