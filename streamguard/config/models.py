"""The whole of a configuration."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic import Field as Setting

from streamguard.config.backtest import Backtest
from streamguard.config.base import Key, Problem, Section
from streamguard.config.document import dump
from streamguard.config.handlers import Handler, Silence
from streamguard.config.inputs import Join, Labels, Predictions
from streamguard.config.log import LogSection
from streamguard.config.monitors import Monitor
from streamguard.config.preflight import Preflight
from streamguard.config.probes import Probe, ProbeChecks
from streamguard.config.serving import Environment
from streamguard.config.types import Count, Duration, Text, TopicName, is_topic_name
from streamguard.config.worker import Http, Watchdog
from streamguard.core.losses import Loss


class Outcomes(Section):
    """The topic between joining and monitoring."""

    topic: TopicName | None = None
    """Topic of matched predictions and labels. Null: streamguard-<group>-outcomes."""
    partitions: Count | None = None
    """Partitions of that topic when it is created; monitors are spread over them. Null: one for each
    monitor, at most as many as the predictions topic has."""


class Budget(Section):
    """How often, on average, a budgeted detector may alarm though nothing is wrong."""

    false_alarms_per_month: float = Setting(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    """Over all budgeted detectors of all monitors and segments together, in thirty days of event time. Default 1."""


class Alerts(Section):
    """Where people and programs learn of trouble."""

    topic: TopicName = "alerts"
    """Topic that alerts are written to."""
    cooldown_ms: Duration = Setting(default=3_600_000, alias="cooldown", ge=0)
    """How long, in event time, after an alert the same check stays quiet about the same segment. Default
    1h."""
    mode: Literal["binary", "structured"] = "binary"
    """How alerts are CloudEvents: `binary` has the attributes in headers and the alert as the value, `structured` has
    both in one JSON document. Default binary."""


class Rejected(Section):
    """Where records go that cannot be used."""

    topic: TopicName | None = None
    """Topic of rejected records: unchanged, the reason in headers. Null: streamguard-<group>-rejected."""


class State(Section):
    """What monitors remember over a restart."""

    topic: TopicName | None = None
    """Compacted topic of snapshots. Null: streamguard-<group>-state."""
    every_ms: Duration = Setting(default=30_000, alias="every", gt=0)
    """Time between two snapshots: what a restart reads again at most. Default 30s."""


class DeadLetters(Section):
    """Where alerts go that a handler could not deliver."""

    topic: TopicName | None = None
    """Topic of alerts as they were, the reason in headers. Null: streamguard-<group>-dead-letters."""


class Limits(Section):
    """What a single record may be."""

    record_bytes: Count = 1_048_576
    """Longest record value, in bytes; a longer one is rejected. Default 1048576, 1 MiB."""
    request_id_chars: Count = 512
    """Longest request ID, in characters; a record with a longer one is rejected. Default 512."""


class Logging(Section):
    """What a worker says about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level of the log lines that are written to stderr."""


def _some(monitors: tuple[Monitor, ...]) -> tuple[Monitor, ...]:
    if not monitors:
        raise ValueError("needs at least one monitor")
    return monitors


class Config(Section):
    """All settings of a streamguard installation."""

    log: LogSection
    """Where records live."""
    predictions: Predictions = Predictions()
    """What the model answered."""
    labels: Labels = Labels()
    """What turned out to be true."""
    join: Join
    """Which label belongs to which prediction."""
    monitors: Annotated[tuple[Monitor, ...], AfterValidator(_some), Setting(json_schema_extra={"minItems": 1})]
    """What is watched; at least one monitor."""
    environment: Environment | None = None
    """Whether the instances that serve a model are alike. Null: not looked at."""
    budget: Budget = Budget()
    """How many false alarms all budgeted detectors may give together."""
    outcomes: Outcomes = Outcomes()
    """The topic between joining and monitoring."""
    alerts: Alerts = Alerts()
    """Where people and programs learn of trouble."""
    rejected: Rejected = Rejected()
    """Where records go that cannot be used."""
    state: State = State()
    """What monitors remember over a restart."""
    handlers: tuple[Handler, ...] = ()
    """Who is told of alerts by `streamguard handle`, and how."""
    handler_hosts: tuple[Text, ...] | None = None
    """Hosts that handlers may call, names or addresses. Null: any."""
    silences: tuple[Silence, ...] = ()
    """Times in which no handler is told."""
    dead_letters: DeadLetters = DeadLetters()
    """Where alerts go that a handler could not deliver."""
    limits: Limits = Limits()
    """What a single record may be."""
    logging: Logging = Logging()
    """What a worker says about itself."""
    http: Http = Http()
    """Where a worker answers questions about itself."""
    watchdog: Watchdog = Watchdog()
    """When a worker ends itself."""
    backtest: Backtest = Backtest()
    """What a backtest compares, and how it reads files."""
    probes: tuple[Probe, ...] = ()
    """Endpoints of models that `streamguard probe` calls. Default: none."""
    probe_checks: ProbeChecks = ProbeChecks()
    """When what probes find is worth an alert."""
    preflight: Preflight = Preflight()
    """What the doctor sees to."""

    @property
    def horizon_ms(self) -> int:
        """Longest time that a record may have to be remembered, in event time."""
        return self.join.before_ms + self.join.after_ms

    @property
    def outcomes_topic(self) -> str:
        return self.outcomes.topic or f"streamguard-{self.log.group}-outcomes"

    @property
    def rejected_topic(self) -> str:
        return self.rejected.topic or f"streamguard-{self.log.group}-rejected"

    @property
    def state_topic(self) -> str:
        return self.state.topic or f"streamguard-{self.log.group}-state"

    @property
    def dead_letters_topic(self) -> str:
        return self.dead_letters.topic or f"streamguard-{self.log.group}-dead-letters"

    @property
    def environment_topic(self) -> str:
        return (self.environment or Environment()).topic

    @property
    def sides(self) -> dict[str, Predictions | Labels]:
        """Both inputs by their role."""
        return {"predictions": self.predictions, "labels": self.labels}

    @property
    def predictions_topic(self) -> str:
        """The topic of predictions that the join reads."""
        return self._joined_topic("predictions")

    @property
    def labels_topic(self) -> str:
        """The topic of labels that the join reads."""
        return self._joined_topic("labels")

    def _joined_topic(self, role: str) -> str:
        section = self.sides[role]
        return f"streamguard-{self.log.group}-{role}" if section.is_rekeyed else section.topic

    @property
    def topics(self) -> dict[str, str]:
        """Every topic that workers use by its role, which is also the name of the section that names it."""
        return {
            "predictions": self.predictions_topic,
            "labels": self.labels_topic,
            "outcomes": self.outcomes_topic,
            "alerts": self.alerts.topic,
            "rejected": self.rejected_topic,
            "state": self.state_topic,
        }

    def problems(self) -> Iterable[Problem]:
        yield from self._topic_problems()
        handlers = Counter(handler.name for handler in self.handlers)
        for index, handler in enumerate(self.handlers):
            if handlers[handler.name] > 1:
                words = f"must be unique, but {handlers[handler.name]} handlers are named {handler.name!r}"
                yield ("handlers", index, "name"), words
        probes = Counter(probe.name for probe in self.probes)
        for index, probe in enumerate(self.probes):
            if probes[probe.name] > 1:
                words = f"must be unique, but {probes[probe.name]} probes are named {probe.name!r}"
                yield ("probes", index, "name"), words
        yield from self._match_problems()
        names = Counter(monitor.name for monitor in self.monitors)
        if self.environment is not None and self.environment.name in names:
            yield ("environment", "name"), f"must differ from those of monitors, {self.environment.name!r} is one"
        for index, monitor in enumerate(self.monitors):
            where: Key = ("monitors", index)
            if names[monitor.name] > 1:
                yield (
                    (*where, "name"),
                    f"must be unique, but {names[monitor.name]} monitors are named {monitor.name!r}",
                )
            if monitor.loss in {Loss.LOG_LOSS, Loss.BRIER} and self.predictions.fields.score is None:
                yield (
                    ("predictions", "fields", "score"),
                    f"is missing: the loss {monitor.loss.value} of monitor {monitor.name!r} needs it",
                )

    def _match_problems(self) -> Iterable[Problem]:
        names = [monitor.name for monitor in self.monitors]
        if self.environment is not None:
            names.append(self.environment.name)
        for role, sections in (("handlers", self.handlers), ("silences", self.silences)):
            for index, each in enumerate(sections):
                for place, name in enumerate(each.match.monitor):
                    if name not in names:
                        near = get_close_matches(name, names, 1)
                        meant = f"did you mean {near[0]}?" if near else f"there is {', '.join(map(repr, names))}"
                        yield (role, index, "match", "monitor", place), f"names no monitor, {name!r}; {meant}"

    def as_yaml(self) -> str:
        """What is in effect, as a file that can be loaded again: defaults filled in, secrets hidden."""
        data = self.model_dump(mode="json", by_alias=True)
        for role in ("outcomes", "rejected", "state"):
            data[role]["topic"] = self.topics[role]
        return dump(data)

    def _topic_problems(self) -> Iterable[Problem]:
        seen: dict[str, str] = {}
        named = [*self.topics.items(), ("dead_letters", self.dead_letters_topic)]
        if self.environment is not None:
            named.append(("environment", self.environment.topic))
        for role, section in self.sides.items():
            if section.is_rekeyed:
                named.insert(0, (role, section.topic))
        for role, topic in named:
            if not is_topic_name(topic):
                yield (
                    (role, "topic"),
                    f"would be {topic!r} after log.group, which is no topic name; set it, or the group",
                )
            if topic in seen:
                yield (role, "topic"), f"must differ from {seen[topic]}.topic, both are {topic!r}"
            seen.setdefault(topic, role)
