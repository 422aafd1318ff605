"""What tests of what predictions carry start from: profiles, references, rows, windows, tasks with a `data` section.

Rows are the features of predictions; records are whole predictions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from streamguard.core.alerts import Alert
from streamguard.core.features.folding import Counts, Fold, Given
from streamguard.core.features.gathering import Window
from streamguard.core.features.reference import Reference
from streamguard.core.features.watching import InputWatching
from streamguard.core.intake import MonitorSettings
from streamguard.profile import build
from streamguard.reference.comparing import Wanted, reference_of
from streamguard.reference.document import Profile
from streamguard.worker.topology import Topology
from tests.core.helpers import topology

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_006_400_000 // DAY_MS * DAY_MS
"""Where most streams here begin: a midnight."""

PLANS = "free", "free", "free", "paid", "paid", "trial"
TEXTS = "good morning", "please send the bill", "where is my order", "thanks", ""

Row = Mapping[str, Any]
Segments = tuple[str | None, ...]


def row(random: Random, **others: Any) -> dict[str, Any]:
    """What one prediction carries: a number, a category and a text; `others` instead, or as well."""
    found = {"age": random.gauss(40, 10), "plan": random.choice(PLANS), "note": random.choice(TEXTS)}
    return {**found, **others}


def rows(seed: int, count: int, **others: Any) -> list[dict[str, Any]]:
    """So many of them, the same for a seed."""
    random = Random(seed)  # noqa: S311 - it is to be the same each time
    return [row(random, **others) for _ in range(count)]


def profile_of(features: Sequence[Row] | None = None, *, text: Sequence[str] = ("note",), **how: Any) -> Profile:
    """The profile of such rows, by default of two thousand as `row` makes them."""
    return build([*(rows(1, 2000) if features is None else features)], text=text, **{"name": "training", **how})


def wanted(profile: Profile | None, **settings: Any) -> Wanted:
    """A monitor that compares all features, which are below `features`."""
    usual: dict[str, Any] = {
        "where": "monitors.0.data",
        "features": ("features",),
        "paths": {},
        "leave_out": (),
        "steps": {},
        "raws": {},
        "prediction": ("prediction",),
        "score": None,
        "window_ms": MINUTE_MS,
        "positive": None,
    }
    return Wanted(profile=profile, **{**usual, **settings})


def given(
    documents: Sequence[dict[str, Any]],
    times: Sequence[int] | int = 0,
    *,
    start: int = 0,
    segments: Sequence[int] | None = None,
    scores: Sequence[float] | None = None,
) -> Given:
    """Predictions as columns, from offset `start` on; their request IDs are r and the offset."""
    count = len(documents)
    return Given(
        np.arange(start, start + count),
        np.array([times] * count if isinstance(times, int) else times, np.int64),
        lambda: [f"r{start + place}" for place in range(count)],
        documents,
        [each.get("prediction", "x") for each in documents],
        None if scores is None else np.array(scores, np.float64),
        np.zeros(count, np.int64) if segments is None else np.array(segments, np.int64),
    )


def dense(reference: Reference, counts: Iterable[Counts]) -> list[list[int]]:
    """All counts added up, of each column the bins."""
    total = np.zeros(reference.size, np.int64)
    for each in counts:
        total[each.bins] += each.counts
    return [part.tolist() for part in np.split(total, reference.offsets[1:-1])]


def data_topology(
    profile: Profile | None,
    *,
    sources: int = 1,
    targets: int = 1,
    monitor: Mapping[str, Any] | None = None,
    sections: Mapping[str, Any] | None = None,
    **data: Any,
) -> Topology:
    """The settings of all tasks, for one monitor named m that compares predictions with a profile; no baseline."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "profile.json"
        if profile is not None:
            path.write_bytes(profile.dump())
            data["profile"] = str(path)
        settings = {"name": "m", "data": {"baseline": "0s", **data}, **(monitor or {})}
        return topology(settings, sources=sources, targets=targets, **(sections or {}))


class Live:
    """A stream of windows on its way through what watches them, with all alerts so far."""

    def __init__(self, settings: MonitorSettings, name: str = "m") -> None:
        self._settings = settings
        self._name = name
        self.reference = settings.references[name]
        self._fold = Fold(self.reference)
        self.watching = InputWatching(settings)
        self.alerts: list[Alert] = []
        self.offset = 0

    def window(self, start_ms: int, features: Sequence[Row], segment: Segments = (), **others: Any) -> Window:
        """One window of these rows; `others` is beside the features of each."""
        documents = [{"features": each, "prediction": "x", **others} for each in features]
        scores = [each.get("score", float("nan")) for each in documents]
        counted = self._fold.counts(given(documents, start_ms, start=self.offset, scores=scores))
        self.offset += len(documents)
        end_ms = start_ms + self.reference.window_ms
        found = Window((self._name, segment), start_ms, end_ms, np.empty(0, np.int64))
        for each in counted:
            found.add(0, each)
        found.fill(self.reference.size)
        return found

    def take(self, windows: Iterable[Window]) -> list[Alert]:
        """Go on; returns the alerts that this has given."""
        found = self.watching.watch(windows)
        self.alerts += found
        return found

    def go(self, start_ms: int, many: Iterable[Sequence[Row]], segment: Segments = (), **others: Any) -> list[Alert]:
        """Go on by windows, one after the other, each of these rows."""
        window_ms = self.reference.window_ms
        return [
            alert
            for number, features in enumerate(many)
            for alert in self.take([self.window(start_ms + number * window_ms, features, segment, **others)])
        ]

    def restart(self) -> None:
        """Forget what watches, and bring it back from its snapshot, through JSON."""
        before = self.watching
        head = orjson.loads(orjson.dumps(before.snapshot()))
        states = {key: orjson.loads(orjson.dumps(each.snapshot())) for key, each in before.segments.items()}
        self.watching = InputWatching(self._settings)
        self.watching.restore(head, states)


def live(profile: Profile | None, monitor: Mapping[str, Any] | None = None, **data: Any) -> Live:
    """A stream of one monitor; no baseline where nothing else is said."""
    return Live(data_topology(profile, monitor=monitor, **data).monitor)


def minutes(seed: int, count: int, each: int = 30, **others: Any) -> Iterator[list[dict[str, Any]]]:
    """So many windows of rows."""
    for number in range(count):
        yield rows(seed * 1_000_003 + number, each, **others)


def steps_reference(**steps: Any) -> Reference:
    """Of steps of preparation alone: by feature."""
    return reference_of(wanted(None, steps=steps))


def with_references(settings: Topology, references: Mapping[str, Reference]) -> Topology:
    """The same settings, whose monitors of these names are held against others."""
    names = settings.join.monitor_names
    numbered = {number: references[name] for number, name in enumerate(names) if name in references}
    return replace(
        settings,
        join=replace(settings.join, references=numbered),
        monitor=replace(settings.monitor, references=dict(references)),
    )
