"""What in the data of a replay looks wrong, in sentences that say what was found and what to do about it."""

from collections.abc import Iterator

from streamguard.config import Config, Mode
from streamguard.core.durations import format_duration_ms
from streamguard.core.records import Fate
from streamguard.replay.engine import Replayed
from streamguard.replay.history import History
from streamguard.replay.joining import Seen

_FEW = 0.01
_MANY = 0.05
_SHOWN = 3


def remarks(config: Config, history: History, found: Replayed) -> list[str]:
    """One sentence or two for each thing; most grave first."""
    notes = [damage for side in found.seen or () for damage in side.damage]
    if found.seen is not None:
        predictions, labels = found.seen
        notes += _absent(predictions, labels)
        notes += _strangers(config, predictions, labels)
        for name, side in (("predictions", predictions), ("labels", labels)):
            notes += _rejected(name, side)
            notes += _late(config, name, side)
    if found.watched.released == 0 and not found.is_stopped:
        notes.append(_nothing(history, found))
    if found.watched.late:
        notes.append(
            f"{found.watched.late:,} outcomes came from an input that had been idle, after their time was released:"
            " they were matched, and not checked, as live"
        )
    return notes


def _absent(predictions: Seen, labels: Seen) -> Iterator[str]:
    for name, side in (("predictions", predictions), ("labels", labels)):
        if side.counts["consumed"] == 0:
            yield f"there are no {name} at all: nothing can be matched"


def _strangers(config: Config, predictions: Seen, labels: Seen) -> Iterator[str]:
    both = min(_usable(predictions), _usable(labels))
    matched = predictions.counts[Fate.MATCHED]
    if both and matched == 0:
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
        yield f"{count:,} of {side.counts['consumed']:,} {name} cannot be used: {reasons}"


def _late(config: Config, name: str, side: Seen) -> Iterator[str]:
    count, disorder_ms = side.counts[Fate.LATE], config.join.disorder_ms
    if count > _FEW * max(1, _usable(side)):
        seen = f" (in the first batch by up to {format_duration_ms(side.disorder_ms)})" if side.disorder_ms else ""
        yield (
            f"{count:,} of {_usable(side):,} {name} are out of order by more than join.disorder"
            f" ({format_duration_ms(disorder_ms)}){seen} and were left out, as live would: sort the records by time, or"
            f" raise join.disorder; and see that {name}.fields.time is not the other side's time"
        )


def _nothing(history: History, found: Replayed) -> str:
    if history.mode is Mode.FAITHFUL:
        return f"no outcome was released: {found.watched.held:,} wait for sources that have not come as far"
    return (
        "no outcome came of it: no prediction is old enough to be judged without a label (join.after), and none was"
        " matched for a monitor; look at monitors.match"
    )


def _usable(side: Seen) -> int:
    return side.counts["consumed"] - side.counts[Fate.REJECTED]


def _shown(side: Seen) -> str:
    return ", ".join(map(repr, side.examples[:_SHOWN])) or "nothing"
