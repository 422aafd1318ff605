"""A replay: history through the very tasks that run live, as fast as it can be read.

Theory of operation. Stage one joins, over several processes where that helps; stage two watches. What comes next is
always read from where event time is furthest behind, so that little is held. At the end of the range all inputs are
told that event time has come just past the last record: what is matched is judged, and a prediction whose label may
still come is still waiting.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamguard.core.join import JoinSettings
from streamguard.core.waiting import NEVER
from streamguard.replay.joining import Pair, Seen
from streamguard.replay.sources import Source
from streamguard.replay.stages import Elsewhere, Here, Stage
from streamguard.replay.watchers import Watched, Watchers


@dataclass(slots=True)
class Progress:
    """How far a replay has come."""

    read: int = 0
    """Of the sources, in their own unit."""
    records: int = 0
    alerts: int = 0
    reached_ms: float = NEVER
    """All outcomes before this were judged."""


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    watched: Watched
    progress: Progress
    is_stopped: bool
    """Whether it was told to end before the end."""
    seen: tuple[Seen, Seen] | None = None
    """The inputs; None where outcomes were read."""


Look = Callable[[Progress], bool]
"""Is told of the progress after each step; True ends the replay there."""


def replay_inputs(
    pairs: Sequence[Pair], join: JoinSettings, watchers: Watchers, look: Look, *, processes: int = 0
) -> Replayed:
    """Join and watch. `processes`: so many join, this one watches; 0: this one does both."""
    stages: list[Stage] = []
    progress = Progress()
    try:
        count = min(processes, len(pairs))
        stages += (Elsewhere(pairs[number::count], join) for number in range(count))
        if not stages:
            stages.append(Here(pairs, join))
        is_stopped = _run(stages, watchers, progress, look)
        last_ms = max(stage.last_ms() for stage in stages)
        if last_ms > NEVER and not is_stopped:
            for stage in stages:
                # Just past the last record, so that its own outcome is judged, too.
                watchers.take(stage.advance(last_ms + 1, is_last=True))
        seen = Seen(), Seen()
        # By partition: however they are shared out, the first examples are the same.
        by_partition = sorted((each for stage in stages for each in stage.seen()), key=lambda each: each[0])
        for _, *sides in by_partition:
            for total, found in zip(seen, sides, strict=True):
                total.add(found)
    finally:
        for stage in stages:
            stage.close()
    _look_at(watchers, progress)
    return Replayed(watchers.result(), progress, is_stopped, seen)


def _run(stages: Sequence[Stage], watchers: Watchers, progress: Progress, look: Look) -> bool:
    """Read all; returns whether it was told to stop."""
    is_stopped = False
    while (behind := min(stages, key=lambda stage: stage.reached_ms)).reached_ms < math.inf:
        step = behind.step()
        watchers.take(step.outcomes)
        reached_ms = min(stage.reached_ms for stage in stages)
        if NEVER < reached_ms < math.inf:
            for stage in stages:
                if stage.reached_ms == math.inf:
                    watchers.take(stage.advance(reached_ms))
        progress.read += step.read
        progress.records += step.records
        _look_at(watchers, progress)
        if look(progress) and not is_stopped:
            is_stopped = True
            for stage in stages:
                if stage.reached_ms < math.inf:
                    stage.stop()
    return is_stopped


def replay_outcomes(sources: Sequence[Source], watchers: Watchers, look: Look) -> Replayed:
    """Watch what workers have joined, each idle advance of theirs included; `sources` by partition of the topic."""
    progress = Progress()
    for target, source in enumerate(sources):
        before = progress.read

        def note(read: int, before: int = before) -> None:
            progress.read = before + read

        for batch in source.batches(note):
            watchers.step(target, batch.values, batch.offsets)
            progress.records += len(batch)
            _look_at(watchers, progress)
            if look(progress):
                return Replayed(watchers.result(), progress, is_stopped=True)
    return Replayed(watchers.result(), progress, is_stopped=False)


def _look_at(watchers: Watchers, progress: Progress) -> None:
    progress.alerts, progress.reached_ms = watchers.alert_count, watchers.reached_ms
