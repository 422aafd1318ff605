"""Topics, on made-up descriptions: what a single broker cannot be brought to."""

from dataclasses import replace

import pytest

from streamguard.doctor.checks.topics import copies, topics
from streamguard.doctor.facts import Creation, Topic
from tests.doctor.helpers import codes, config, topic
from tests.doctor.helpers import topics as described

OUTCOMES, STATE = "streamguard-g-outcomes", "streamguard-g-state"


def test_topics_as_they_should_be() -> None:
    """No finding."""
    assert codes(topics(config(), described())) == []
    assert codes(copies(config(), described())) == []


@pytest.mark.parametrize(
    ("role", "settings", "expected"),
    [
        ("predictions", {"cleanup.policy": "compact,delete"}, "input-compacted"),
        ("labels", {"retention.ms": "14429999"}, "retention-short"),
        ("labels", {"max.message.bytes": "10000000"}, "record-limit"),
        ("predictions", {"message.timestamp.type": "LogAppendTime"}, "timestamps-appended"),
        ("state", {"cleanup.policy": "delete"}, "state-not-compacted"),
        ("state", {"max.message.bytes": "1048588"}, "message-limit"),
        ("alerts", {"max.message.bytes": "1000"}, "message-limit"),
        ("rejected", {"max.message.bytes": "1000"}, "message-limit"),
    ],
)
def test_a_setting_that_does_not_fit(role: str, settings: dict[str, str], expected: str) -> None:
    """One setting of one topic."""
    assert codes(topics(config(), described(**{role: settings}))) == [expected]


def test_retention_is_compared_to_the_millisecond() -> None:
    """Twice the window of 2h, and 30s of disorder; -1 is for ever."""
    assert codes(topics(config(), described(labels={"retention.ms": "14430000"}))) == []
    assert codes(topics(config(), described(labels={"retention.ms": "-1"}))) == []


def test_settings_that_we_may_not_see_are_not_judged() -> None:
    """Nothing is made up of what is not known."""
    hidden = {name: replace(each, settings={}) for name, each in described().items()}

    assert codes(topics(config(), hidden)) == []


def test_the_time_field_makes_the_brokers_time_harmless() -> None:
    """Then only max_ahead goes by it."""
    facts = described(predictions={"message.timestamp.type": "LogAppendTime"})

    assert codes(topics(config(predictions={"fields": {"time": "at"}}), facts)) == []


def test_counts_of_partitions() -> None:
    """Outcomes as the setting says, state as outcomes."""
    facts = described() | {OUTCOMES: topic(OUTCOMES, 3)}

    assert codes(topics(config(), facts)) == ["state-partitions"]
    assert codes(topics(config(outcomes={"partitions": 2}), facts)) == ["outcomes-partitions", "state-partitions"]


def test_several_alerts_partitions_matter_to_retraining_alone() -> None:
    """Its history is read from one."""
    facts = described() | {"alerts": topic("alerts", 2)}
    handlers = ({"name": "r", "type": "retrain", "command": ["true"]},)

    assert codes(topics(config(), facts)) == []
    assert codes(topics(config(handlers=handlers), facts)) == ["alerts-partitions"]


def test_topics_that_are_to_be_made() -> None:
    """As the broker said when it was asked to validate them."""
    fine = Creation("a", 1, replicas=3, min_insync=2)

    assert codes(topics(config(), described(), [fine])) == ["topic-to-create"]
    assert codes(topics(config(log={"create_topics": False}), described(), [fine])) == ["topic-not-created"]
    forbidden = replace(fine, problem="Authorization failed.", is_forbidden=True)
    assert codes(topics(config(), described(), [forbidden])) == ["topic-not-created"]
    assert codes(topics(config(), described(), [replace(fine, replicas=1)])) == ["min-insync", "topic-to-create"]


def test_replicas() -> None:
    """Of four states of a topic's replicas the worst is told of the same partition."""
    wanted = config()

    def found(changed: Topic) -> list[str]:
        return codes(copies(wanted, described() | {changed.name: changed}))

    assert found(topic(OUTCOMES, in_sync=2)) == ["under-replicated"]
    assert found(topic(OUTCOMES, leader=-1)) == ["partition-offline"]
    assert found(topic(OUTCOMES, settings={"min.insync.replicas": "4"})) == ["min-insync"]
    assert found(topic(OUTCOMES, in_sync=1, settings={"min.insync.replicas": "2"})) == [
        "under-replicated",
        "min-insync",
    ]
    assert found(topic("__transaction_state", settings={"min.insync.replicas": "4"})) == ["min-insync"]
    # Who writes the inputs is not us.
    assert found(topic("predictions", settings={"min.insync.replicas": "4"})) == []


def test_an_embedded_log_makes_its_inputs_itself() -> None:
    """So that they are not missed."""
    facts = {name: Topic(name, exists=False) for name in config().topics.values()}

    assert codes(topics(config(log={"kind": "embedded"}), facts)) == []
    assert codes(topics(config(), facts)) == ["topic-missing", "topic-missing"]
