"""The log of a configuration, and the topic of it that holds what could not be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamguard.config import Config
from streamguard.core.records import TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Committed, Log
from streamguard.rejected.settled import Settled
from streamguard.replay.topics import opened
from streamguard.worker.telemetry import configure_logging

MEMBER = "rejected-replay"


@dataclass(frozen=True, slots=True)
class Letters:
    """A topic of rejected records, or of dead letters."""

    config: Config
    log: Log
    topic: str
    partitions: int

    @property
    def group(self) -> str:
        """The consumer group by whose offsets it is known what was sent back."""
        return f"{self.config.log.group}-rejected-replay"

    @property
    def places(self) -> list[TopicPartition]:
        """Its partitions."""
        return [TopicPartition(self.topic, number) for number in range(self.partitions)]

    def settled(self) -> dict[int, Settled]:
        """By partition: what was sent back so far."""
        found = self.log.committed(self.group, self.places)
        return {place.partition: self.restored(place, found.get(place)) for place in self.places}

    def restored(self, place: TopicPartition, committed: Committed | None) -> Settled:
        """What was sent back of one partition; raises `UnusableError` where the commit is not of a replay."""
        if committed is None:
            return Settled(0)
        try:
            return Settled.restored(committed.offset, committed.metadata)
        except ValueError as error:
            raise UnusableError(
                f"group {self.group!r}, {place.topic}-{place.partition}: what is committed is not of a replay"
                f" ({error}): delete that group's offsets, and every record counts as not sent back"
            ) from None


@contextmanager
def letters_of(config: Config, *, is_dead: bool = False) -> Iterator[Letters]:
    """The topic, opened; raises `LogError` where it is not there."""
    configure_logging("error")
    topic = config.dead_letters_topic if is_dead else config.rejected_topic
    log = opened(config)
    try:
        info = log.topics([topic]).get(topic)
        if info is None:
            made = "`streamguard handle`" if is_dead else "a worker"
            raise LogError(f"no topic {topic!r} yet: {made} creates it at its first start")
        yield Letters(config, log, topic, info.partitions)
    finally:
        log.close()
