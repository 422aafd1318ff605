"""How a field differs from the contract, for people: a sentence, and what it looks like."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import Any

from streamguard.core.arrivals.evidence import Course
from streamguard.core.contract.fields import HARMLESS, KINDS, Contract, Field, Kind

_ALL = 0.995
# Factors between units that people mix up.
_FACTORS = (10, 12, 60, 100, 1000, 1024, 3600, 10_000, 86_400, 100_000, 1_000_000, 1_000_000_000)
_NEAR = 0.2


def fields(
    contract: Contract, mark: int, course: Course, usual: float, others: Iterable[tuple[int, Course]], things: str
) -> dict[str, Any]:
    """As an alert has it. `others`: what has changed besides; `things`: what the records are called."""
    place, number = divmod(mark, KINDS)
    field, kind = contract.fields[place], Kind(number)
    found: dict[str, Any] = {
        "field": field.name,
        "change": kind.name.lower(),
        "breaking": kind not in HARMLESS,
        "told": told(contract, field, kind, course, usual, others, things),
        "rate": round(course.count / max(1, course.rows), 6),
        "usual": round(usual, 6),
        "count": course.count,
        "rows": course.rows,
        "versions": dict(sorted(course.versions.items())),
        "since": {str(partition): offset for partition, offset in sorted(course.offsets.items())},
    }
    one = course.example
    if one is not None:
        found["example"] = {
            "request_id": one.request_id or None,
            "partition": one.partition,
            "offset": one.offset,
            "shown": one.shown[0],
        }
    return found


def told(
    contract: Contract,
    field: Field,
    kind: Kind,
    course: Course,
    usual: float,
    others: Iterable[tuple[int, Course]],
    things: str,
) -> str:
    """In a sentence."""
    rate = course.count / max(1, course.rows)
    share = f"in {_percent(rate)} of {things}"
    before = f" ({_percent(usual)} before)" if usual else ""
    name = f"`{field.name}`" if field.name else "the record"
    shown = course.example.shown[0] if course.example is not None and course.example.shown else ""
    words = {
        Kind.MISSING: f"field {name} is missing {share}{before}",
        Kind.NULL: f"field {name} is null {share}{before}",
        Kind.TYPE: f"field {name} is {shown} {share}: expected {_expected(field)}",
        Kind.VALUE: f"field {name} has a value that is not known {share}, such as {shown}",
        Kind.RANGE: f"field {name} is beyond {_bounds(field)} {share}, such as {shown}",
        Kind.FORM: f"field {name} is not of the form {_form(field)} {share}, such as {shown}",
        Kind.NEW: f"a field that is not known came {share}, in {name}: {shown}",
        Kind.REJECTED: f"{_percent(rate)} of {things} are rejected, such as: {shown}",
    }
    where = ", ".join(
        f"partition {partition} offset {offset:,}" for partition, offset in sorted(course.offsets.items())[:3]
    )
    whose = f", all of version {next(iter(course.versions))}" if _is_of_one(course) else ""
    return f"{words[kind]}{whose}, since {where}{_hint(contract, field, kind, course, others)}"


def version_of(courses: Sequence[Course]) -> str | None:
    """The version of the model that all that differs is of, if it is one."""
    versions = {next(iter(each.versions)) for each in courses if _is_of_one(each)}
    return versions.pop() if len(versions) == 1 and all(map(_is_of_one, courses)) else None


def _is_of_one(course: Course) -> bool:
    return len(course.versions) == 1 and sum(course.versions.values()) == course.count


def _hint(contract: Contract, field: Field, kind: Kind, course: Course, others: Iterable[tuple[int, Course]]) -> str:
    if kind is Kind.RANGE:
        factor = unit(field, course)
        return "" if factor is None else f"; its values are about {factor} what they were: another unit?"
    if kind is not Kind.MISSING:
        return ""
    parent, _, leaf = field.name.rpartition(".")
    for mark, other in others:
        place, number = divmod(mark, KINDS)
        if number != Kind.NEW or other.example is None:
            continue
        came, _, inside = other.example.shown[0].partition(": ")
        if leaf in inside.removeprefix("an object with ").split(", "):
            return f"; it is within `{contract.fields[place].below(came)}` now"
        if contract.fields[place].name == parent:
            return f"; `{contract.fields[place].below(came)}` came instead: renamed?"
    return ""


def unit(field: Field, course: Course) -> str | None:
    """By about how many times a number's values are what they were, where that looks like another unit."""
    if course.example is None or len(course.example.shown) < 2 or not field.quantiles or not course.rows:
        return None
    middle, part = median_low(map(float, course.example.shown[1].split())), course.count / course.rows
    last = len(field.quantiles) - 1
    # What is beyond the bounds are the largest values, or the least: their middle was this one.
    is_high = field.maximum is not None and middle > field.maximum
    place = round(last * (1 - part / 2 if is_high else part / 2))
    before = field.quantiles[place]
    if before == 0 or middle == 0 or (before < 0) != (middle < 0):
        return None
    times = middle / before
    size = times if times > 1 else 1 / times
    near = min(_FACTORS, key=lambda each: abs(math.log(size / each)))
    if abs(math.log(size / near)) > _NEAR:
        return None
    return f"{near:,} times" if times > 1 else f"1/{near:,} of"


def _percent(rate: float) -> str:
    return "all" if rate >= _ALL else f"{100 * rate:.3g}%"


def _expected(field: Field) -> str:
    kinds: Mapping[str, str] = {"integer": "a whole number", "object": "an object", "array": "an array", "null": "null"}
    return " or ".join(kinds.get(kind, f"a {kind}") for kind in sorted(field.kinds)) or "any"


def _bounds(field: Field) -> str:
    if field.minimum is None and field.maximum is None:
        return "its bounds"
    if field.minimum is None:
        return f"{field.maximum:g}"
    if field.maximum is None:
        return f"{field.minimum:g}"
    return f"{field.minimum:g} to {field.maximum:g}"


def _form(field: Field) -> str:
    if field.form is not None:
        return field.form
    return f"of {field.shortest or 0} to {'any' if field.longest is None else field.longest} elements or characters"
