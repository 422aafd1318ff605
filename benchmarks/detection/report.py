"""Scores as Markdown: a line for each detector; delays have a column for each stream."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from benchmarks.detection.running import Found
from benchmarks.detection.scoring import Figure, Score, Summary, summary

SECTIONS = {
    "delay": ("delay", "gradual"),
    "stable": ("stable", "autocorrelated", "seasonal", "improving"),
    "streams": ("synth", "real"),
}
"""The groups in each place of the page."""

_TITLES = {
    "delay": "A change at once",
    "gradual": "A change along a line",
    "stable": "A stable rate",
    "autocorrelated": "A stable rate of .10, of losses that depend on the one before",
    "seasonal": "A rate that follows the hour and the day, without drift",
    "improving": "An improvement",
    "synth": "Generated concepts that become others",
    "real": "Data sets with a feature that breaks",
}
# Of a figure that the streams say nothing of.
_NOTHING = "?"
Cell = Callable[[Summary], str]
Scores = Mapping[str, Mapping[str, Sequence[Score]]]
"""By stream and detector."""


def section(found: Found, name: str) -> str:
    """The tables of one place of the page, of the groups that were judged."""
    return "\n\n".join(group_tables(group, found[group]) for group in SECTIONS[name] if group in found)


def group_tables(group: str, scores: Scores) -> str:
    """The tables of a group: delays and false alarms where something gets worse, else false alarms alone."""
    summaries = {stream: {name: summary(each) for name, each in of.items()} for stream, of in scores.items()}
    if group in ("stable", "autocorrelated", "seasonal", "improving"):
        tables = {
            "False alarms per 100,000 events": matrix(summaries, _false_rate),
            "Events to a false alarm (MTFA)": matrix(summaries, _mtfa),
        }
        if group == "improving":
            tables["Share of the streams where it says that it is better"] = matrix(summaries, _noticed)
    else:
        tables = {
            "Mean delay in events (MTD), and the share missed (MDR)": matrix(summaries, _delay),
            "All streams together": overall(scores),
            "MTFA / MTD x (1 - MDR) (MTR)": matrix(summaries, _mtr),
        }
    return "\n\n".join([f"**{_TITLES[group]}**", *(f"{title}:\n\n{table}" for title, table in tables.items())])


def matrix(by_stream: Mapping[str, Mapping[str, Summary]], cell: Cell) -> str:
    """One figure: detectors down, streams across."""
    detectors = list(dict.fromkeys(name for each in by_stream.values() for name in each))
    lines = [[name, *(cell(each[name]) for each in by_stream.values())] for name in detectors]
    return _table(list(by_stream), lines)


def overall(scores: Scores) -> str:
    """What is missed and false on all streams of a group."""
    pooled: dict[str, list[Score]] = {}
    for each in scores.values():
        for name, of_seeds in each.items():
            pooled.setdefault(name, []).extend(of_seeds)
    columns: dict[str, Cell] = {
        "missed (MDR)": _missed,
        "false alarms per 100,000 events": _false_rate,
        "events to a false alarm (MTFA)": _mtfa,
        "repeats a stream": _repeats,
    }
    summaries = {name: summary(each) for name, each in pooled.items()}
    return _table(list(columns), [[name, *(cell(one) for cell in columns.values())] for name, one in summaries.items()])


def rewritten(page: str, sections: Mapping[str, str]) -> str:
    """The page with these tables between their marks; raises `ValueError` where one has not exactly one place."""
    for name, text in sections.items():
        places = list(re.finditer(rf"<!-- bench:{name} -->\n(.*?)<!-- /bench -->", page, re.DOTALL))
        if len(places) != 1:
            raise ValueError(
                f"the page has {len(places)} places for the table {name!r}, not one: <!-- bench:{name} -->"
            )
        page = f"{page[: places[0].start(1)]}{text}\n{page[places[0].end(1) :]}"
    return page


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    all_lines = [["detector", *columns], ["---", *("--:" for _ in columns)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in all_lines)


def _delay(one: Summary) -> str:
    if one.mtd is None:
        return "missed all"
    margin = "" if one.mtd.interval is None else f" ± {one.mtd.interval[1] - one.mtd.value:,.0f}"
    missed = "" if one.mdr is None or one.mdr.value == 0 else f" ({one.mdr.value:.0%} missed)"
    return f"{one.mtd.value:,.0f}{margin}{missed}"


def _false_rate(one: Summary) -> str:
    return _figure(one.false_rate)


def _mtfa(one: Summary) -> str:
    return _figure(one.mtfa)


def _mtr(one: Summary) -> str:
    return _figure(one.mtr)


def _missed(one: Summary) -> str:
    return _share(one.mdr)


def _repeats(one: Summary) -> str:
    return _number(one.repeats)


def _noticed(one: Summary) -> str:
    return _share(one.noticed)


def _share(figure: Figure | None) -> str:
    if figure is None:
        return _NOTHING
    low, high = figure.interval or (figure.value, figure.value)
    return f"{figure.value:.0%} [{100 * low:.0f}, {100 * high:.0f}]"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return _NOTHING
    if figure.is_bound:
        return f"> {_number(figure.value)}"
    ends = "" if figure.interval is None else f" [{'; '.join(_number(end) for end in figure.interval)}]"
    return f"{_number(figure.value)}{ends}"


def _number(value: float) -> str:
    """To three digits or to the unit."""
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
