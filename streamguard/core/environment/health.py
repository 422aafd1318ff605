"""What instances have by themselves: memory that is nearly used up, and that they report at all."""

from typing import Any

from streamguard.config.serving import Environment
from streamguard.core.environment.change import Change
from streamguard.core.printing import printable

_HYSTERESIS = 5.0
_NAMED = 20
_GIB = 1 << 30

SILENT = "silent instances"
"""The subject of instances that should report and do not."""


class Health:
    """Of all instances. Times by the fleet's own clock are `_active`."""

    def __init__(self, settings: Environment) -> None:
        self._percent = settings.memory_percent
        self._expected = settings.expect_instances or 0
        self._short: dict[str, int] = {}
        """By instance that is short of memory: since when."""
        self._gone: dict[str, int] = {}
        """By instance that has stopped reporting: when that was found. The latest alone."""
        self._few: list[int] | None = None
        """Since when fewer report than should: event time, and by the fleet's own clock."""
        self._told: int | None = None
        """How many did, when it was told last."""
        self._was_full = False

    def take(self, instance: str, memory: tuple[int, int] | None, time_ms: int, left: list[str]) -> list[Change]:
        """One has reported, and these report no more."""
        changes = []
        for name in left:
            self._gone.pop(name, None)
            self._gone[name] = time_ms
            if name in self._short:
                changes.append(self._enough(name, f"{printable(name)} reports no more", {}))
        for name in [*self._gone][:-_NAMED]:
            del self._gone[name]
        self._gone.pop(instance, None)
        if memory is not None:
            changes += self._memory(instance, *memory, time_ms)
        return changes

    def missing(self, count: int, time_ms: int, active_ms: int, grace_ms: int) -> list[Change]:
        """So many report. At first, until all have, they have the grace to come up."""
        if count >= self._expected:
            self._was_full = True
            few, was_told = self._few, self._told
            self._few = self._told = None
            self._gone.clear()
            if few is None or was_told is None:
                return []
            words, about = f"{count} instances report", {"count": count}
            return [Change(SILENT, is_wrong=False, told=words, since_ms=few[0], details=about)]
        if self._few is None:
            self._few = [time_ms, active_ms]
        is_due = self._was_full or active_ms - self._few[1] >= grace_ms
        if not is_due or self._told == count:
            return []
        self._told = count
        gone = [*self._gone]
        words = f"{count} of the {self._expected} expected instances report"
        if gone:
            words += f"; silent: {', '.join(map(printable, gone[:3]))}{' and more' if len(gone) > 3 else ''}"
        details = {"count": count, "instances": gone}
        return [Change(SILENT, is_wrong=True, told=words, since_ms=self._few[0], details=details)]

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [self._short, [*self._gone.items()], self._few, self._told, self._was_full]

    def restore(self, state: list[Any]) -> None:
        self._short, gone, self._few, self._told, self._was_full = state
        self._short, self._gone = dict(self._short), dict(gone)

    def _memory(self, instance: str, used: int, limit: int, time_ms: int) -> list[Change]:
        percent = 100 * used / limit
        about = {"instances": [instance], "used": used, "limit": limit, "percent": round(percent, 1)}
        name = printable(instance)
        told = f"{name} uses {percent:.0f}% of its memory limit ({used / _GIB:.1f} of {limit / _GIB:.1f} GiB)"
        if instance in self._short:
            if percent < self._percent - _HYSTERESIS:
                return [self._enough(instance, told, about)]
        elif percent >= self._percent:
            self._short[instance] = time_ms
            return [Change(f"memory {name}", is_wrong=True, told=told, since_ms=time_ms, details=about)]
        return []

    def _enough(self, instance: str, told: str, details: dict[str, Any]) -> Change:
        since_ms = self._short.pop(instance)
        return Change(f"memory {printable(instance)}", is_wrong=False, told=told, since_ms=since_ms, details=details)
