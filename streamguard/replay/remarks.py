"""What in the data of a replay looks wrong, in sentences that say what was found and what to do about it."""

from collections.abc import Iterator, Sequence

import orjson

from streamguard.config import Config, Mode
from streamguard.core.alerts import rfc3339
from streamguard.core.durations import format_duration_ms
from streamguard.core.records import Fate
from streamguard.replay.engine import Replayed
from streamguard.replay.history import History
from streamguard.replay.joining import Seen
from streamguard.replay.ledger import Ledger
from streamguard.replay.scoring import OF_SETTINGS, Span, outside, overlap
from streamguard.replay.truth import Incident, strangers
from streamguard.replay.uncompared import uncompared

_FEW = 0.01
_MANY = 0.05
_SHOWN = 3
# Event times before 1980 are most likely seconds.
_OLDEST_MS = 315_532_800_000


def remarks(config: Config, history: History, found: Replayed, ledger: Ledger) -> list[str]:
    """One sentence or two for each thing, causes before what follows from them."""
    notes: list[str] = []
    if found.seen is not None:
        predictions, labels = found.seen
        notes += _absent(predictions, labels)
        for name, side in (("predictions", predictions), ("labels", labels)):
            notes += _rejected(name, side)
            notes += _late(config, name, side)
            notes += _old(name, side)
            notes += _far(config, name, side, ledger)
        notes += _unmonitored(config, predictions)
        notes += _strangers(config, predictions, labels)
    notes += _unknown_fields(config, ledger)
    notes += _outcomes(config, history, found)
    notes += _of_settings(found)
    notes += _crowded(ledger)
    notes += uncompared(found, ledger)
    if found.watched.released == 0 and not found.is_stopped:
        notes.append(_nothing(history, found))
    if found.watched.late:
        notes.append(
            f"{found.watched.late:,} outcomes came from an input that had been idle, after their time was released:"
            " they were matched, and not checked, as live"
        )
    return notes


def of_normal(normal: Span | None, truth: Sequence[Incident], span: Span) -> list[str]:
    """What is wrong with the period that is called normal."""
    if normal is None:
        return []
    if not overlap(normal, span):
        return [f"no outcome lies within the normal period, {rfc3339(normal[0])} to {rfc3339(normal[1])}"]
    wrong = [each.name for each in truth if each.from_ms < normal[1] and (each.to_ms or normal[1]) > normal[0]]
    return [f"the period that is called normal has incidents in it: {', '.join(map(repr, wrong))}"] if wrong else []


def of_truth(config: Config, truth: Sequence[Incident], span: Span, ledger: Ledger) -> list[str]:
    """What is wrong with the incidents."""
    split_by = {monitor.name: monitor.split_by for monitor in config.monitors}
    notes = list(strangers(truth, split_by))
    segments = [each.segment for name in ledger.monitors for each in ledger.all(name)]
    for each in truth:
        for name, value in (each.segment or {}).items():
            known = {segment[name] for segment in segments if name in segment}
            if known and value not in known and not ledger.full:
                notes.append(f"incident {each.name!r}: no outcome has {name}={value}; there is {_few(known)}")
    if missed := outside(truth, span):
        names = ", ".join(repr(each.name) for each in missed[:5])
        notes.append(f"{len(missed)} incidents began outside the range and are not scored: {names}")
    return notes


def _few(values: set[str | None]) -> str:
    return ", ".join(sorted(map(str, values))[:8])


def _absent(predictions: Seen, labels: Seen) -> Iterator[str]:
    for name, side in (("predictions", predictions), ("labels", labels)):
        if side.counts["consumed"] == 0:
            yield f"there are no {name} at all: nothing can be matched"


def _strangers(config: Config, predictions: Seen, labels: Seen) -> Iterator[str]:
    both = min(_usable(predictions), _usable(labels))
    matched = predictions.counts[Fate.MATCHED]
    if both and matched == 0:
        common = [each for each in labels.sample if each in predictions.sample]
        if common:
            delays_ms = sorted(labels.sample[each] - predictions.sample[each] for each in common)
            yield (
                f"no label found its prediction within join.after ({format_duration_ms(config.join.after_ms)}) and"
                f" join.before ({format_duration_ms(config.join.before_ms)}): labels come"
                f" {_signed(delays_ms[0])} to {_signed(delays_ms[-1])} after their predictions, as {len(common):,} with"
                f" the same request ID show, such as {common[0]!r}"
            )
            return
        yield (
            f"no label found its prediction. Request IDs of predictions look like {_shown(predictions)}, of labels like"
            f" {_shown(labels)}: if they are written differently, mend predictions.fields.request_id or"
            " labels.fields.request_id; if not, look at the times, and at join.after"
        )
        return
    alone = labels.counts[Fate.EXPIRED]
    if alone > _MANY * max(1, _usable(labels)):
        yield (
            f"{alone:,} of {_usable(labels):,} labels found no prediction: it came before the range, or more than"
            f" join.after ({format_duration_ms(config.join.after_ms)}) before its label, or has another request ID"
        )


def _rejected(name: str, side: Seen) -> Iterator[str]:
    count = side.counts[Fate.REJECTED]
    if count:
        reasons = "; ".join(f"{number:,}: {reason}" for reason, number in side.reasons.most_common(_SHOWN))
        others = f"; and {len(side.reasons) - _SHOWN} other reasons" if len(side.reasons) > _SHOWN else ""
        yield (
            f"{count:,} of {side.counts['consumed']:,} {name} cannot be used: {reasons}{others}. The first is at"
            f" {side.first_rejected}"
        )


def _late(config: Config, name: str, side: Seen) -> Iterator[str]:
    count, disorder_ms = side.counts[Fate.LATE], config.join.disorder_ms
    if count > _FEW * max(1, _usable(side)):
        seen = f" (among the first by up to {format_duration_ms(side.disorder_ms)})" if side.disorder_ms else ""
        yield (
            f"{count:,} of {_usable(side):,} {name} are out of order by more than join.disorder"
            f" ({format_duration_ms(disorder_ms)}){seen} and were left out, as live would: sort the records by time, or"
            f" raise join.disorder; and see that their time is their own, and not the other side's"
        )


def _old(name: str, side: Seen) -> Iterator[str]:
    if 0 <= side.last_ms < _OLDEST_MS:
        yield f"event times of {name} end in {rfc3339(side.last_ms)[:4]}: are they seconds? Milliseconds are expected"


def _far(config: Config, name: str, side: Seen, ledger: Ledger) -> Iterator[str]:
    """The last records may be far ahead: nothing follows by which they could be refused."""
    if ledger.first_ms is None or ledger.last_ms is None:
        return
    room_ms = config.join.before_ms + config.join.after_ms + (ledger.last_ms - ledger.first_ms)
    if side.last_ms - ledger.last_ms > room_ms:
        yield (
            f"a record of the {name} is of {rfc3339(side.last_ms)}, long after the last outcome"
            f" ({rfc3339(ledger.last_ms)}): if its time is wrong, what came after it is late: leave it out"
        )
    if ledger.first_ms - side.first_ms > room_ms:
        yield (
            f"a record of the {name} is of {rfc3339(side.first_ms)}, long before the first outcome"
            f" ({rfc3339(ledger.first_ms)}): has it a wrong time?"
        )


def _unmonitored(config: Config, predictions: Seen) -> Iterator[str]:
    count = predictions.unmonitored.total()
    if count > _MANY * max(1, _usable(predictions)):
        models = ", ".join(f"{model!r} ({number:,})" for model, number in predictions.unmonitored.most_common(_SHOWN))
        wanted = "; ".join(f"{each.name}: {dict(each.match)}" for each in config.monitors[:_SHOWN])
        yield f"{count:,} predictions are of no monitor, of model {models}. What monitors match: {wanted}"


def _unknown_fields(config: Config, ledger: Ledger) -> Iterator[str]:
    for monitor in config.monitors:
        segments = [each.segment for each in ledger.all(monitor.name)]
        for name in monitor.split_by:
            if segments and all(each[name] is None for each in segments):
                yield f"monitor {monitor.name!r} splits by {name!r}, which no prediction has: look at split_by"


def _outcomes(config: Config, history: History, found: Replayed) -> Iterator[str]:
    """Where outcomes were joined elsewhere, by a configuration that may have been another."""
    watched = found.watched
    if watched.rejected:
        yield f"{watched.rejected:,} records of the outcomes topic cannot be read; {watched.first_rejected}"
    if history.mode is not Mode.FAITHFUL:
        return
    names = {each.name for each in config.monitors}
    for name, count in watched.seen.items():
        if name not in names:
            yield f"{count:,} outcomes are of monitor {name!r}, which is not in this configuration: they count nowhere"
    for name in sorted(names - watched.seen.keys()) if watched.seen else ():
        yield (
            f"no outcome is of monitor {name!r}: workers joined none for it, or had no such monitor; mode ideal joins"
            " them anew"
        )


def _crowded(ledger: Ledger) -> Iterator[str]:
    where = ledger.crowded()
    if where is not None and ledger.first_ms is not None and ledger.last_ms is not None:
        yield (
            f"outcomes are from {rfc3339(ledger.first_ms)} to {rfc3339(ledger.last_ms)}, and nearly all of them between"
            f" {rfc3339(where[0])} and {rfc3339(where[1])}: has a record a wrong time? What is said by the month, and"
            " the bins of the page, are of the whole: leave such records out, or choose a range"
        )


def _of_settings(found: Replayed) -> Iterator[str]:
    for alert in map(orjson.loads, found.watched.told.of(0)):
        if alert["kind"] in OF_SETTINGS and alert["status"] == "raised":
            yield f"monitor {alert['monitor']!r}: {'; '.join(alert['look_first'])}"


def _nothing(history: History, found: Replayed) -> str:
    if history.mode is Mode.FAITHFUL:
        return f"no outcome was released: {found.watched.held:,} wait for sources that have not come as far"
    return (
        "no outcome came of it: no prediction of any monitor was matched, or is old enough to be judged without a label"
        " (join.after)"
    )


def _usable(side: Seen) -> int:
    return side.counts["consumed"] - side.counts[Fate.REJECTED]


def _shown(side: Seen) -> str:
    return ", ".join(map(repr, list(side.sample)[:_SHOWN])) or "nothing"


def _signed(duration_ms: int) -> str:
    return f"{'-' if duration_ms < 0 else ''}{format_duration_ms(abs(duration_ms))}"
