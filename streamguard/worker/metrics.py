"""A worker's status as Prometheus metrics, made anew for each scrape."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate
from math import inf

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streamguard.core.records import Fate
from streamguard.worker.status import COMMIT_BUCKETS_S, Board, JoinStatus, MonitorStatus, Progress, State, Status

__all__ = ["CONTENT_TYPE", "StatusCollector", "exposition"]

_VERSION = version("streamguard")
_OWN = "Of the partitions that this worker owns"
_SINCE = f"since the group began. {_OWN}: the total moves with the partition, so add up over workers"

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]


class StatusCollector(Collector):
    """Reads a board. `epoch_offset_s` is what the board's clock lacks to be the time since 1970."""

    def __init__(self, board: Board, epoch_offset_s: float) -> None:
        self._board = board
        self._epoch_offset_s = epoch_offset_s

    def describe(self) -> list[Metric]:
        """None by name: a registry that asks would have to collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._board.status
        yield from _process(status)
        yield _gauge(
            "streamguard_loop_phase_seconds",
            "How long the loop has been in its present phase.",
            [((), self._board.now_s() - self._board.pulse.since_s)],
        )
        yield from _progress(status.progress, self._epoch_offset_s)
        yield from _reading(status)
        yield from _joins(status)
        yield from _monitors(status.monitors)


def exposition(board: Board, epoch_offset_s: float) -> bytes:
    """All metrics as text, with those of the process."""
    registry = CollectorRegistry()
    registry.register(StatusCollector(board, epoch_offset_s))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _gauge(name: str, text: str, samples: Samples, labels: Labels = ()) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _counter(name: str, text: str, samples: Samples, labels: Labels = ()) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _process(status: Status) -> Iterator[Metric]:
    yield _gauge("streamguard_build_info", "1, with the version.", [((_VERSION,), 1)], ("version",))
    yield _gauge("streamguard_ready", "1 where the worker does its part: /readyz.", [((), status.state is State.READY)])


def _progress(progress: Progress, epoch_offset_s: float) -> Iterator[Metric]:
    """What this process has done since it started."""
    counts = [*accumulate(progress.commit_buckets)]
    bounds = [*map(str, COMMIT_BUCKETS_S), "+Inf"]
    commits = HistogramMetricFamily("streamguard_commit_seconds", "How long transactions took to commit.")
    commits.add_metric((), list(zip(bounds, counts, strict=True)), progress.commit_seconds)
    yield commits
    events = {
        "commit_failures": (progress.commit_failures, "Transactions that failed, or of which nobody can say"),
        "rebalances": (progress.rebalances, "Times that the group shared its partitions out anew"),
        "sessions_lost": (progress.sessions_lost, "Times that the worker began again from what is committed"),
        "consumer_stalls": (progress.stalls, "Times that a partition with records left brought none"),
        "rejected_records": (progress.rejected, "Records written to the rejected topic"),
    }
    for name, (count, text) in events.items():
        yield _counter(f"streamguard_{name}", f"{text}, by this process.", [((), count)])
    yield _counter(
        "streamguard_alerts",
        "Alerts written by this process.",
        progress.alert_kinds.items(),
        ("kind", "severity", "status"),
    )
    if progress.committed_s is not None:
        committed_s = progress.committed_s + epoch_offset_s
        yield _gauge("streamguard_last_commit_timestamp_seconds", "When the last commit ended.", [((), committed_s)])


def _reading(status: Status) -> Iterator[Metric]:
    yield _gauge(
        "streamguard_lag_records",
        "Offsets between the committed position and the end of a partition, looked at every 5 s; an open transaction"
        f" of a producer counts. {_OWN}.",
        (((name, str(partition)), count) for (name, partition), count in status.behind.items()),
        ("input", "partition"),
    )
    yield _gauge(
        "streamguard_lag_seconds",
        "Event time of an input partition behind the furthest one that this worker owns: a function of the data,"
        " without a clock.",
        _event_time_lags(status.joins),
        ("input", "partition"),
    )
    yield _gauge(
        "streamguard_restore_left_records",
        "Offsets that are still to be read again after a start or a rebalance.",
        [((), status.restore_left)],
    )
    yield _gauge(
        "streamguard_inputs_held_back",
        "Input partitions that are paused, since they are ahead and a cap is near.",
        [((), len(status.held_back))],
    )


def _event_time_lags(joins: tuple[JoinStatus, ...]) -> Samples:
    clocks = {
        (each.name, str(join.partition)): each.clock_ms
        for join in joins
        for each in join.inputs
        if each.clock_ms is not None
    }
    return [(labels, (max(clocks.values()) - clock_ms) / 1000) for labels, clock_ms in clocks.items()]


def _joins(status: Status) -> Iterator[Metric]:
    inputs = [(each, str(join.partition)) for join in status.joins for each in join.inputs]
    yield _counter(
        "streamguard_records",
        f"Input records that have ended, by how they ended, {_SINCE}.",
        (
            ((each.name, partition, fate.value), each.counts[fate.value])
            for each, partition in inputs
            for fate in Fate
            if fate is not Fate.WAITING
        ),
        ("input", "partition", "fate"),
    )
    yield _gauge(
        "streamguard_records_waiting",
        f"Input records that wait for their partner. {_OWN}; with streamguard_records_total they add up to what was"
        " consumed.",
        (((each.name, partition), each.counts[Fate.WAITING.value]) for each, partition in inputs),
        ("input", "partition"),
    )
    held = [((str(join.partition),), join) for join in status.joins]
    yield _gauge(
        "streamguard_held_records",
        "Records that a join task holds in memory, matched ones included.",
        ((labels, join.held) for labels, join in held),
        ("partition",),
    )
    yield _gauge(
        "streamguard_held_bytes",
        "Memory of those records, estimated.",
        ((labels, join.held_bytes) for labels, join in held),
        ("partition",),
    )
    yield _gauge("streamguard_held_limit_records", "join.max_waiting, for each task.", [((), status.caps.records)])
    yield _gauge(
        "streamguard_held_limit_bytes", "join.max_waiting_bytes, for each task.", [((), status.caps.data_bytes)]
    )


def _monitors(monitors: tuple[MonitorStatus, ...]) -> Iterator[Metric]:
    labelled = [((str(each.partition),), each) for each in monitors]
    labels = ("partition",)
    yield _counter(
        "streamguard_outcomes_released",
        f"Outcomes that were checked, {_SINCE}.",
        ((values, each.released) for values, each in labelled),
        labels,
    )
    yield _counter(
        "streamguard_outcomes_late",
        f"Outcomes that came after their time had been released, and were not checked, {_SINCE}.",
        ((values, each.late) for values, each in labelled),
        labels,
    )
    yield _gauge(
        "streamguard_outcomes_held",
        "Outcomes that wait for all sources to come as far in event time.",
        ((values, each.held) for values, each in labelled),
        labels,
    )
    yield _gauge(
        "streamguard_segments",
        "Monitored segments.",
        ((values, each.segments) for values, each in labelled),
        labels,
    )
    yield _gauge(
        "streamguard_budgeted_detectors",
        "Budgeted detectors by what they promise: kept, false alarms within the budget; none, their baseline does not"
        " bear it; learning, they have none yet and do not alarm.",
        (
            ((*values, promise), each.promises.get(promise, 0))
            for values, each in labelled
            for promise in ("kept", "none", "learning")
        ),
        (*labels, "promise"),
    )
    yield _gauge(
        "streamguard_watermark_lag_seconds",
        "Watermark of a source (an input partition number) behind the furthest source's, at the monitors of an outcomes"
        " partition: a function of the data, without a clock. 0 where the source is not waited for, +Inf where it has"
        " never been heard of.",
        (
            ((*values, str(source)), inf if behind_ms is None else behind_ms / 1000)
            for values, each in labelled
            for source, behind_ms in enumerate(each.sources_behind_ms)
        ),
        (*labels, "source"),
    )
