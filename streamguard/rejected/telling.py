"""What a run of `replay` says of itself, before and after."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamguard.rejected.judging import Fate, Judged
from streamguard.rejected.lateness import Clocks
from streamguard.rejected.reasons import kind_of

_REFUSALS_MAX = 5

_LEFT = {
    Fate.OTHER: "are not what the options select",
    Fate.AGAIN: "were sent back before and were rejected again: do the workers run with this configuration?"
    " --again sends them too",
    Fate.ELSEWHERE: "came from no input of this configuration, or from a partition that is not there: --to-topic sends"
    " them elsewhere",
    Fate.LEFT_OUT: "are not here, since the rejected topic did not take their values: they are where they came from",
    Fate.NOT_MENDED: "were left by the function of --mend",
    Fate.REFUSED: "would be rejected again by this configuration: --force sends them all the same",
    Fate.TOO_LARGE: "are larger than the topic takes that they are for",
    Fate.NO_ROOM: "cannot be sent by this run, as the note of what was sent (4 kB a partition) has no room for more"
    " pieces: send what lies between them as well, or move that elsewhere by --to-topic, then run this again",
}


@dataclass(slots=True)
class Account:
    """What becomes of the records that a run looks at."""

    clocks: Clocks | None = None
    """None: what will be late is not asked."""
    fates: Counter[Fate] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    """Why records would be rejected again, by kind, those that are sent all the same included."""
    forced: int = 0
    late: Counter[str] = field(default_factory=Counter)
    oldest_ms: int | None = None
    """When the first of those was rejected that are sent."""

    def add(self, each: Judged) -> None:
        """One record."""
        self.fates[each.fate] += 1
        if each.refusal is not None:
            self.refusals[kind_of(each.refusal)] += 1
        if each.record is not None:
            self.targets[each.record.topic] += 1
            time_ms = each.letter.time_ms
            self.oldest_ms = time_ms if self.oldest_ms is None else min(self.oldest_ms, time_ms)
            self.forced += each.refusal is not None
            self.late[each.record.topic] += self.clocks is not None and self.clocks.take(each)

    @property
    def sent(self) -> int:
        """How many are sent."""
        return self.fates[Fate.SENT]

    def lines(self, topic: str) -> Iterator[str]:
        """Before anything is sent."""
        targets = ", ".join(f"{count:,} to {name}" for name, count in sorted(self.targets.items()))
        yield f"{topic}: {self.fates.total():,} records not sent back yet; to be sent: {targets or 'none'}"
        for fate, words in _LEFT.items():
            if self.fates[fate]:
                yield f"  {self.fates[fate]:,} stay: they {words}"
        if self.forced:
            yield f"  {self.forced:,} are sent although they would be rejected again (--force)"
        for kind, count in self.refusals.most_common(_REFUSALS_MAX):
            yield f"    {count:,} x {kind}"
        for name, count in sorted(self.late.items()):
            if count:
                yield (
                    f"  at least {count:,} of those to {name} would be late now: their event time is more than"
                    " join.disorder behind their partition's, and the join counts them as late and leaves them out"
                )
