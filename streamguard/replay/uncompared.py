"""What of a `data` section is not compared with training, or not between settings."""

from collections.abc import Iterator, Sequence

from streamguard.config import Variant
from streamguard.core.durations import format_duration_ms
from streamguard.errors import ConfigError
from streamguard.replay.engine import Replayed
from streamguard.replay.ledger import Ledger

# What predictions are counted by: each in one way for all settings.
_COUNTED = ("profile", "features", "fields", "leave_out", "steps", "raw", "window_ms")
_SHOWN = 3
_DAY_MS = 86_400_000


def check_counted(tried: Sequence[Variant]) -> None:
    """Raises `ConfigError` where settings would count predictions in different ways: that is done once for all."""
    first = {monitor.name: monitor.data for monitor in tried[0].config.monitors}
    for each in tried[1:]:
        for monitor in each.config.monitors:
            before, after = first[monitor.name], monitor.data
            differing = [key for key in _COUNTED if after and getattr(before, key, None) != getattr(after, key)]
            if differing:
                what = f"data.{differing[0].removesuffix('_ms')}"
                raise ConfigError(
                    f"backtest, {each.name!r}: {what} of monitor {monitor.name!r} cannot be compared in one pass, since"
                    " it changes how predictions are counted: run a backtest of its own"
                )


def uncompared(found: Replayed, ledger: Ledger) -> Iterator[str]:
    """Sentences on predictions that were held against nothing, and on features that never came."""
    yield from _uncounted(found)
    yield from _absent_features(ledger)
    yield from _still_learning(ledger)


def _uncounted(found: Replayed) -> Iterator[str]:
    late, foreign = found.watched.uncounted["late"], found.watched.uncounted["foreign"]
    if late:
        yield (
            f"what {late:,} predictions carried came from an input that had been idle, after its window was released:"
            " it was not compared with training, as live"
        )
    if foreign:
        yield (
            f"what {foreign:,} predictions carried was counted by workers of another profile, or other steps: it is not"
            " compared; mode ideal counts it anew"
        )


def _absent_features(ledger: Ledger) -> Iterator[str]:
    for course in ledger.carried.all:
        name, absent = course.monitor.name, course.absent
        if not course.rows:
            yield (
                f"monitor {name!r}: nothing that predictions carry was compared with training: no window of theirs is"
                " over, or workers counted none; mode ideal counts anew"
            )
        elif absent:
            names = ", ".join(f"`{each}`" for each in absent[:_SHOWN])
            others = f" and {len(absent) - _SHOWN} others" if len(absent) > _SHOWN else ""
            yield (
                f"monitor {name!r}: of {course.rows:,} predictions none has {names}{others}, which training had: look"
                " at data.features and data.fields, or leave them out (data.leave_out)"
            )


def _still_learning(ledger: Ledger) -> Iterator[str]:
    for course in ledger.carried.all:
        data, span = course.monitor.data, course.span
        if data is None or span is None or not data.baseline_ms or span[1] - span[0] > data.baseline_ms:
            continue
        wanted, had = format_duration_ms(data.baseline_ms), (span[1] - span[0]) / _DAY_MS
        yield (
            f"monitor {course.monitor.name!r}: data.baseline is {wanted}, and there are {had:.3g} days: until it is"
            " learnt only steps and what differs grossly are told; give more history, or set baseline: 0s"
        )
