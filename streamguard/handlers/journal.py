"""What a retrain handler has begun and ended, as it stands on the alerts topic."""

import threading
import time
from collections.abc import Sequence
from uuid import uuid4

from streamguard.config import Config
from streamguard.config.handlers import RetrainHandler
from streamguard.core.alerts import Alert as Told
from streamguard.core.records import TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.handlers.alert import Alert
from streamguard.handlers.retraining import Retrainings
from streamguard.handlers.sinks.retrain import RetrainSink
from streamguard.handlers.trying import Tried
from streamguard.logs.interface import Log, Record, Session

_LOOK_S = 0.1
_OPEN_MAX_S = 30.0


class Journal:
    """Asks whether an alert starts a run, and writes down what comes of it; for one thread, but for the sink's own."""

    def __init__(self, config: Config, handler: RetrainHandler, sink: RetrainSink) -> None:
        self._config = config
        self._sink = sink
        self._runs = Retrainings(handler, lambda: uuid4().hex)

    def restore(self, log: Log, session: Session, stopping: threading.Event) -> None:
        """Read what was begun so far; raises `UnusableError` where several could begin at once."""
        topic = self._config.alerts.topic
        count = log.topics([topic])[topic].partitions
        if count != 1:
            raise UnusableError(
                f"topic {topic!r} has {count} partitions: retrain handlers on several could not keep min_interval;"
                " it must have one"
            )
        _wait_for_all(session, TopicPartition(topic, 0), stopping)
        self._runs.restore((value for batch in log.read(topic) for value in batch.values), _now_ms())

    def wants(self, alert: Alert) -> bool:
        """Whether it may start a run."""
        return self._runs.wants(alert)

    def begin(self, alert: Alert) -> tuple[list[Told], bool]:
        """What is to be written before anything else, and whether the run begins then, by `under_way`."""
        return self._runs.begin(alert, _now_ms())

    def under_way(self, alert: Alert) -> None:
        """The sink is asked for it next."""
        self._sink.run = self._runs.under_way(alert.episode).run

    def end(self, alert: Alert, tried: Tried | None) -> None:
        """A run has ended; None: it was told to leave it."""
        if tried is None:
            self._runs.left(alert.episode)
        else:
            self._runs.end(alert.episode, _now_ms(), tried.failure, self._sink.result)

    def unwritten(self) -> list[Told]:
        """The ends of runs that do not stand on the topic, as far as is known."""
        return self._runs.unpublished()

    def written(self, told: Sequence[Told]) -> None:
        """These stand on the topic now."""
        self._runs.published(told)

    def cancel(self) -> None:
        """End what is under way."""
        self._sink.cancel()

    def records(self, told: Sequence[Told]) -> list[Record]:
        """As they are written to the topic."""
        source, is_structured = f"streamguard/{self._config.log.group}", self._config.alerts.mode == "structured"
        outputs = (each.output(source, is_structured=is_structured) for each in told)
        return [Record(self._config.alerts.topic, each.key, each.value, headers=each.headers) for each in outputs]


def _wait_for_all(session: Session, partition: TopicPartition, stopping: threading.Event) -> None:
    """Until no transaction is open: behind one may stand a `started` that no reader is shown yet."""
    deadline_s = time.monotonic() + _OPEN_MAX_S
    while session.ends([partition]) != session.high_watermarks([partition]):
        if time.monotonic() > deadline_s or stopping.wait(_LOOK_S):
            raise LogError(
                f"a transaction is open on topic {partition.topic!r}: what has been started is not known yet"
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
