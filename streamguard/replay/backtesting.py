"""A backtest from end to end: settings, a replay, what the data is like, and what the alerts are worth."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from streamguard.config import Config, Mode, Variant, variants
from streamguard.core.alerts import Status, rfc3339
from streamguard.core.detectors import Direction
from streamguard.core.durations import parse_duration_ms
from streamguard.core.records import Fate
from streamguard.core.waiting import NEVER
from streamguard.errors import ConfigError
from streamguard.replay.engine import Look, Progress, Replayed, replay_inputs, replay_outcomes
from streamguard.replay.history import History
from streamguard.replay.joining import Seen
from streamguard.replay.ledger import Ledger
from streamguard.replay.remarks import of_normal, of_truth, remarks
from streamguard.replay.result import Backtest, Compared
from streamguard.replay.scoring import OF_SETTINGS, Alarm, Span, overlap, per_month, references, score
from streamguard.replay.suggesting import Suggestion, suggest_budget, suggest_threshold
from streamguard.replay.truth import Incident
from streamguard.replay.uncompared import check_counted
from streamguard.replay.watchers import Watchers
from streamguard.worker.topology import derive

_DAY_MS = 86_400_000
# What is tried where somebody wants to know which budget a normal period bears.
_BUDGETS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_BUDGET = "budget.false_alarms_per_month"
# Below this a process of its own costs more than it saves.
_LARGE = {"files": 64 << 20, "kafka": 500_000, "embedded": 500_000, "memory": 1 << 62}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a history beside what its configuration says."""

    title: str = "backtest"
    truth: Sequence[Incident] = ()
    normal_ms: Span | None = None
    """A period, to before its end, in which nothing was wrong."""
    from_ms: int | None = None
    to_ms: int | None = None
    processes: int | None = None
    """How many work at it; None: as many as there are cores, where there is much to read."""


def never(_: Progress) -> bool:
    """Let a replay go on to its end."""
    return False


def backtest(config: Config, history: History, question: Question, look: Look = never) -> Backtest:
    """Replay, and judge. `look` is told of the progress, and may end it: then the result is partial."""
    tried = variants(config)
    tried += _budgets(config, question, tried)
    targets = history.topology.target_count
    derived = [derive(each.config, history.topology.source_count, targets) for each in tried]
    settings = [each.monitor for each in derived]
    check_counted(tried)
    # One of them may want what the configuration itself does not.
    with_scores = any(each.join.with_scores for each in derived)
    if history.mode is Mode.FAITHFUL and with_scores and not history.join.with_scores:
        raise ConfigError(
            "backtest: a setting's loss needs scores, and workers of this configuration wrote none: use mode ideal"
        )
    ledger = Ledger(config.monitors, question.normal_ms, settings[0].references)
    joining, watching = shares_of(_processes(history, question), len(settings), len(history.pairs))
    watchers = Watchers(settings, targets, ledger, processes=watching)
    try:
        if history.mode is Mode.FAITHFUL:
            found = replay_outcomes(history.outcomes, watchers, look)
        else:
            join = replace(history.join, with_scores=with_scores)
            found = replay_inputs(history.pairs, join, watchers, look, processes=joining)
    finally:
        watchers.close()
    return _judged(config, history, question, tried, found, ledger)


def _judged(
    config: Config,
    history: History,
    question: Question,
    tried: Sequence[Variant],
    found: Replayed,
    ledger: Ledger,
) -> Backtest:
    span = ledger.span or (0, 0)
    compared = [
        _compared(config, question, variant, found.watched.told.of(number), span, ledger)
        for number, variant in enumerate(tried)
    ]
    by_reference = references(
        question.truth,
        span,
        config.alerts.cooldown_ms,
        _counter(ledger),
        grace_ms=config.join.after_ms,
    )
    return Backtest(
        config=config,
        title=question.title,
        mode=history.mode,
        agreement=_agreement(history),
        inputs=_inputs(history, question, found, ledger),
        ledger=ledger,
        settings=compared,
        counts=found.seen and {"predictions": _ends(found.seen[0]), "labels": _ends(found.seen[1])},
        outcomes={"released": found.watched.released, "late": found.watched.late, "held": found.watched.held},
        partial=_partial(found),
        notes=[
            *history.notes,
            *remarks(config, history, found, ledger),
            *of_normal(question.normal_ms, question.truth, span),
            *of_truth(config, question.truth, span, ledger),
        ],
        suggestions=[each.sentence for each in _suggestions(config, question, compared, ledger)],
        truth=question.truth,
        references=list(zip(("always alarms", "never alarms"), by_reference, strict=True)) if question.truth else [],
        normal_ms=question.normal_ms,
    )


def _compared(
    config: Config, question: Question, variant: Variant, lines: Sequence[bytes], span: Span, ledger: Ledger
) -> Compared:
    alarms: list[Alarm] = []
    notices = 0
    for line in lines:
        alert = orjson.loads(line)
        notices += alert["status"] == Status.RAISED and alert["direction"] == Direction.BETTER
        alarm = Alarm.of(alert)
        if alarm is not None and alarm.kind not in OF_SETTINGS:
            alarms.append(alarm)
    normal = question.normal_ms
    usual = None
    if normal is not None and overlap(normal, span):
        within = [each for each in alarms if normal[0] <= each.time_ms < normal[1]]
        usual = per_month(len(within), overlap(normal, span))
    scored = None
    if question.truth:
        scored = score(alarms, question.truth, span, _counter(ledger), grace_ms=config.join.after_ms)
    return Compared(
        name=variant.name,
        changes=variant.changes,
        lines=lines,
        raised=len(alarms),
        notices=notices,
        per_month=per_month(len(alarms), span[1] - span[0]),
        per_month_normal=usual,
        score=scored,
        monitors=variant.config.monitors,
    )


def _counter(ledger: Ledger) -> Callable[[Incident, int, int], int]:
    """Outcomes of what an incident is about between two times, to within a bin of the report.

    Of several monitors that it is about that with most counts: they watch the same predictions.
    """

    def count(incident: Incident, from_ms: int, to_ms: int) -> int:
        return round(max(_between(name, incident, from_ms, to_ms) for name in ledger.monitors))

    def _between(name: str, incident: Incident, from_ms: int, to_ms: int) -> float:
        mine = (each for each in ledger.all(name) if incident.concerns(name, each.segment))
        return sum(each.between(from_ms, to_ms) for each in mine)

    return count


def _processes(history: History, question: Question) -> int:
    if question.processes is not None:
        return question.processes
    return (os.cpu_count() or 1) if history.size >= _LARGE[history.kind] else 1


def shares_of(processes: int, settings: int, partitions: int) -> tuple[int, int]:
    """How many processes join beside this one, and how many watch with this one included.

    Where settings are compared there is more to watch than to join.
    """
    others = max(0, processes - 1)
    joining = min(others if settings == 1 else others // 2, partitions)
    return joining, 1 + (others - joining if settings > 1 else 0)


def _budgets(config: Config, question: Question, tried: Sequence[Variant]) -> list[Variant]:
    """What to try so that a budget can be suggested."""
    if question.normal_ms is None or not any(monitor.budgeted or monitor.data for monitor in config.monitors):
        return []
    known = {each.config.budget.false_alarms_per_month for each in tried if set(each.changes) <= {_BUDGET}}
    return [
        Variant(
            f"budget {each:g}",
            {_BUDGET: each},
            config.model_copy(update={"budget": config.budget.model_copy(update={"false_alarms_per_month": each})}),
        )
        for each in _BUDGETS
        if each not in known
    ]


def _suggestions(config: Config, question: Question, compared: Sequence[Compared], ledger: Ledger) -> list[Suggestion]:
    normal = question.normal_ms
    span = ledger.span
    if normal is None or span is None:
        return []
    found = []
    for monitor in config.monitors:
        if monitor.threshold is not None:
            peaks = [peak for each in ledger.all(monitor.name) if (peak := each.peak) is not None]
            suggestion = suggest_threshold(peaks, overlap(normal, span) / _DAY_MS)
            found.append(replace(suggestion, sentence=f"monitor {monitor.name!r}: {suggestion.sentence}"))
    learning_ms = [_learning_ms(each.baseline) for monitor in config.monitors for each in monitor.budgeted]
    learning_ms += [monitor.data.baseline_ms for monitor in config.monitors if monitor.data is not None]
    if learning_ms:
        watched = (max(normal[0], span[0] + max(learning_ms)), normal[1])
        found.append(suggest_budget(_alarms_by_budget(config, compared, normal), overlap(watched, span) / _DAY_MS))
    return found


def _learning_ms(baseline: int | str) -> int:
    """How long a baseline takes in event time; of a count nobody knows beforehand."""
    return 0 if isinstance(baseline, int) else parse_duration_ms(baseline)


def _alarms_by_budget(config: Config, compared: Sequence[Compared], normal: Span) -> dict[float, int]:
    """What all that shares the budget raised in the period, by budget, where nothing else was changed."""
    found = {}
    for each in compared:
        if set(each.changes) <= {_BUDGET}:
            budget = float(each.changes.get(_BUDGET, config.budget.false_alarms_per_month))
            alerts = map(orjson.loads, each.lines)
            alarms = map(Alarm.of, filter(_is_of_budget, alerts))
            found[budget] = sum(alarm is not None and normal[0] <= alarm.time_ms < normal[1] for alarm in alarms)
    return found


def _is_of_budget(alert: Mapping[str, Any]) -> bool:
    """Of what predictions carry, while what is usual is still learnt, nothing is promised."""
    check = alert["check"]["type"]
    return bool(check == "budgeted" or (check == "data" and not alert["guarantee"].startswith("none")))


def _agreement(history: History) -> str:
    if history.mode is Mode.FAITHFUL:
        words = (
            "It repeats what workers have joined, idle inputs included: with the settings that they had it raises what"
            " live raised, byte for byte"
        )
        return f"{words}, but for what they knew from before the range." if history.begins_cold else f"{words}."
    if history.kind in {"files", "memory"}:
        return (
            "It is what a live worker would have raised over these records in this order, on as many partitions, had no"
            " input been idle, and had each record been written at about its own time."
        )
    words = (
        "Live raised the same alerts, byte for byte, if it lost no outcome to an input that was taken for idle and then"
        " spoke (streamguard_outcomes_late_total is 0); mode faithful repeats that, too"
    )
    if history.begins_cold:
        words += ". But the range begins after the topics do, and live knew what was before"
    return f"{words}."


def _partial(found: Replayed) -> str | None:
    reached = found.progress.reached_ms
    where = f"at event time {rfc3339(int(reached))}" if reached > NEVER / 2 else "before the first outcome"
    if found.is_stopped:
        return f"interrupted {where}"
    damage = [each for side in found.seen or () for each in side.damage]
    return f"a source broke off: {'; '.join(damage)}" if damage else None


def _ends(seen: Seen) -> dict[str, int]:
    return {name: seen.counts[name] for name in ("consumed", *(fate.value for fate in Fate))}


def _inputs(history: History, question: Question, found: Replayed, ledger: Ledger) -> Mapping[str, Any]:
    def told(time_ms: int | None) -> str | None:
        return None if time_ms is None or abs(time_ms) >= -NEVER else rfc3339(time_ms)

    firsts = [side.first_ms for side in found.seen or ()]
    lasts = [side.last_ms for side in found.seen or ()]
    return {
        "kind": history.kind,
        "predictions": history.described[0],
        "labels": history.described[1],
        "files": history.files,
        "size": history.size,
        "from": told(question.from_ms),
        "to": told(question.to_ms),
        "first": told(min(firsts, default=ledger.first_ms)),
        "last": told(max(lasts, default=ledger.last_ms)),
    }


def checked_period(text: str, option: str, parse: Callable[[str], int]) -> Span:
    """`FROM/TO`, two times; raises `ConfigError`."""
    start, slash, end = text.partition("/")
    if not slash:
        raise ConfigError(
            f"{option}: must be two times with a slash between them: 2026-01-01T00:00:00Z/2026-01-15T00:00:00Z"
        )
    span = parse(start), parse(end)
    if span[0] >= span[1]:
        raise ConfigError(f"{option}: ends before it begins")
    return span
