"""`streamguard rejected replay`: records go back to where they came from, each once.

Theory of operation. A run is one member of a consumer group of its own. Records, and how far each partition is with
them, are committed in one transaction, so that a run that is killed anywhere has sent just what is noted, and the next
goes on from there. All runs have one name: a new one puts out a former one that still lives.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from streamguard.config import Config, KafkaLog
from streamguard.core.codec import Reader
from streamguard.core.printing import printable
from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import ConfigError, LogError, UnusableError
from streamguard.logs.interface import Committed, Record, Session, Span
from streamguard.logs.opening import open_log
from streamguard.rejected.course import Course
from streamguard.rejected.filters import Asked, Filters
from streamguard.rejected.judging import Fate, Mend, Rules, Side
from streamguard.rejected.lateness import clocks
from streamguard.rejected.opening import MEMBER, Letters, letters_of
from streamguard.rejected.telling import Account
from streamguard.worker.topology import Topology, checked_inputs, derive

Echo = Callable[[str], None]

_POLL_MS = 200
# Records of one partition in one transaction.
_PIECE = 200
_ASSIGNED_S = 60.0
# A little less than the least that a broker keeps a group's offsets for, as brokers are usually set.
_FORGOTTEN_MS = 6 * 86_400_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of the command."""

    asked: Asked = field(default_factory=Asked)
    to_topic: str | None = None
    mend: str | None = None
    is_forced: bool = False
    is_again: bool = False
    is_dry: bool = False


def run_replay(config: Config, wanted: Wanted, echo: Echo) -> int:
    """Say what would be sent, and send it unless that was all; returns the exit code: 1 where a note had no room."""
    Filters.of(wanted.asked)
    with letters_of(config) as letters:
        topology, rules = _rules(letters, wanted)
        planned, ends = _planned(letters, topology, rules)
        for line in planned.lines(letters.topic):
            echo(printable(line))
        if _may_be_forgotten(letters, planned):
            echo(
                "  no earlier run is known: Kafka forgets one after offsets.retention.minutes (7 days by default);"
                " if there was one, leave out by --from what it has sent"
            )
        if wanted.is_dry:
            echo("nothing was sent (--dry-run)")
        elif planned.sent:
            sent = _send(letters, rules, ends)
            echo(f"sent {sent:,} records")
        else:
            echo("there is nothing to send")
    return 1 if planned.fates[Fate.NO_ROOM] else 0


def _may_be_forgotten(letters: Letters, planned: Account) -> bool:
    """Whether a former run could have sent what is to be sent, and nothing tell of it any more."""
    if not isinstance(letters.config.log, KafkaLog) or planned.oldest_ms is None:
        return False
    is_old = _now_ms() - planned.oldest_ms > _FORGOTTEN_MS
    return is_old and not letters.log.committed(letters.group, letters.places)


def _rules(letters: Letters, wanted: Wanted) -> tuple[Topology, Rules]:
    """The inputs as the join reads them, the topics that may be written to, and what was asked for."""
    config, to = letters.config, wanted.to_topic
    found = letters.log.topics({config.predictions_topic, config.labels_topic} | ({to} if to is not None else set()))
    predictions, labels = checked_inputs(config, found)
    if to is not None:
        _check_target(config, to)
        if to not in found:
            raise LogError(f"--to-topic: there is no topic {to!r}: create it, or mend its name")
    topology = derive(config, predictions.partitions, 1)
    join = topology.join
    sides = {
        predictions.name: Side(Reader(join.predictions, join.watches), is_stamped_anew=False),
        labels.name: Side(Reader(join.labels), is_stamped_anew=join.labels.time is None),
    }
    mend = None if wanted.mend is None else _function(wanted.mend)
    filters = Filters.of(wanted.asked)
    return topology, Rules(sides, found, filters, to, mend, wanted.is_forced, wanted.is_again)


def _check_target(config: Config, to: str) -> None:
    ours = {**config.topics, "dead_letters": config.dead_letters_topic}
    for role, name in ours.items():
        if name == to and role not in ("predictions", "labels"):
            raise ConfigError(
                f"--to-topic: {to!r} is {role}.topic, which is written by streamguard alone; name another"
            )


def _function(name: str) -> Mend:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 - a module may raise anything when it is imported
        raise ConfigError(
            f"--mend: cannot load {name!r}: {type(error).__name__}: {printable(str(error))[:500]};"
            " it is module:function, and the module must be on PYTHONPATH"
        ) from None
    if not callable(found):
        raise ConfigError(f"--mend: {name!r} is {type(found).__name__}: expected a function of bytes")
    function: Mend = found
    return function


def _planned(letters: Letters, topology: Topology, rules: Rules) -> tuple[Account, dict[int, int]]:
    """What the run will do, by the same decisions, without a group; and where each partition ends now."""
    account = Account(clocks(letters.log, topology, dict(rules.sides)))
    # In this order: a run that is under way goes on meanwhile.
    settled, spans = letters.settled(), letters.log.spans(letters.topic)
    for number, span in spans.items():
        _check_same_topic(letters, number, settled[number].offset, span.end)
    courses = {number: Course.begun(settled[number], span.held, span.end) for number, span in spans.items()}
    # Only what is not sent yet is read.
    left = {number: _left(span, courses[number]) for number, span in spans.items()}
    for batch in letters.log.read(letters.topic, spans=left):
        course = courses[batch.source.partition]
        while not course.is_done and course.position < batch.next_offset:
            for each in course.take(batch, rules, _now_ms(), _PIECE).judged:
                account.add(each)
    return account, {number: span.end for number, span in spans.items()}


def _check_same_topic(letters: Letters, number: int, offset: int, end: int) -> None:
    """Offsets of a topic that is no more would make those of the new one count as sent back."""
    if offset > end:
        raise UnusableError(
            f"group {letters.group!r} has committed offset {offset} of {letters.topic}-{number}, which ends at {end}:"
            " was the topic made anew? Delete that group's offsets, and every record of it counts as not sent back"
        )


def _left(span: Span, course: Course) -> Span:
    return Span(min(course.position, span.end), span.end, span.held)


def _send(letters: Letters, rules: Rules, ends: dict[int, int]) -> int:
    """Send, in transactions; returns how many records."""
    settings = letters.config.log
    if isinstance(settings, KafkaLog):
        # A member that comes back under its name need not wait until the group has missed its former self.
        settings = settings.model_copy(update={"worker": MEMBER})
    log = open_log(settings)
    try:
        session = log.session(letters.group, ((letters.topic,),), MEMBER)
        try:
            return _Run(letters, rules, session, ends).run()
        finally:
            session.close()
    finally:
        log.close()


class _Run:
    """One session, until all that was there at its start was looked at."""

    def __init__(self, letters: Letters, rules: Rules, session: Session, ends: dict[int, int]) -> None:
        self._letters = letters
        self._rules = rules
        self._session = session
        self._ends = ends
        self._courses: dict[TopicPartition, Course] = {}
        self._committed: dict[TopicPartition, Committed] = {}
        self._sent = 0

    def run(self) -> int:
        """Returns how many records were sent. Raises `LogError` where it cannot go on; what was sent is committed."""
        deadline_s = time.monotonic() + _ASSIGNED_S
        while not self._courses or not all(course.is_done for course in self._courses.values()):
            poll = self._session.poll(_POLL_MS)
            if poll.assigned is not None:
                self._assign(poll.assigned)
            for batch in poll.batches:
                self._take(batch)
            if self._courses and not poll.is_rebalancing:
                self._pass_gaps()
            elif time.monotonic() > deadline_s:
                raise LogError(f"group {self._letters.group!r} has given this run no partitions: does another run?")
        return self._sent

    def _assign(self, assigned: frozenset[TopicPartition]) -> None:
        missing = set(self._letters.places) - assigned
        if missing:
            raise LogError(f"group {self._letters.group!r} is shared with another run: let one of the two end")
        self._committed = dict(self._session.committed(assigned))
        starts = self._session.starts(assigned)
        self._courses = {}
        for place in assigned:
            settled = self._letters.restored(place, self._committed.get(place))
            course = Course.begun(settled, starts[place], self._ends.get(place.partition, 0))
            self._courses[place] = course
            self._session.seek(place, course.position)
            if course.is_done:
                self._session.pause([place])

    def _take(self, batch: Batch) -> None:
        course = self._courses[batch.source]
        while not course.is_done and course.position < batch.next_offset:
            part = course.take(batch, self._rules, _now_ms(), _PIECE)
            self._commit(batch.source, course, part.records)

    def _pass_gaps(self) -> None:
        for place, course in self._courses.items():
            if not course.is_done:
                course.reach(self._session.position(place))
            if course.is_done:
                self._commit(place, course, [])
                self._session.pause([place])

    def _commit(self, place: TopicPartition, course: Course, records: list[Record]) -> None:
        here = Committed(course.settled.offset, course.settled.note())
        if records or self._committed.get(place, Committed(0)) != here:
            self._session.commit(records, {place: here})
            self._committed[place] = here
            self._sent += len(records)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
