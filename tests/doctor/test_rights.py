"""Rights and groups, on made-up answers."""

from dataclasses import replace
from typing import Any

import pytest

from streamguard.core.note import Note
from streamguard.doctor.checks.rights import groups, rights, timeouts, transactions
from streamguard.doctor.facts import Cluster, Committed, Group, Topic, Transactions
from tests.doctor.helpers import codes, config, topics

RULES = 0, 7_200_000, 30_000


def committed(note: str, *, start: int = 0, end: int = 100) -> Committed:
    """An offset of the predictions."""
    return Committed("predictions", 0, 100, note, start, end)


def of_group(*found: Committed, **changes: Any) -> list[str]:
    """Codes for a group with these offsets."""
    return codes(groups(config(), [replace(Group("g", committed=found), **changes)], RULES))


def test_all_rights() -> None:
    """No finding."""
    assert codes(rights(config(), topics())) == []


def test_a_topic_that_we_may_not_see_may_be_there() -> None:
    """All that is needed is named."""
    hidden = {name: Topic(name, exists=False, is_hidden=True) for name in topics()}
    found = list(rights(config(), hidden))

    assert codes(found) == ["topic-right"] * 6
    assert found[0].mend.endswith("--operation Read --operation Describe --topic predictions")


def test_brokers_that_do_not_tell_rights() -> None:
    """Before Kafka 2.3; then nothing is said of them."""
    assert codes(rights(config(), {name: replace(each, operations=None) for name, each in topics().items()})) == []


def test_dead_letters_are_written_where_there_are_handlers() -> None:
    """By `streamguard handle`."""
    name = "streamguard-g-dead-letters"
    facts = topics() | {name: Topic(name, exists=True, settings={"a": "b"}, operations=frozenset({"DESCRIBE"}))}
    handlers = ({"name": "f", "type": "file", "path": "alerts.jsonl"},)

    assert codes(rights(config(), facts)) == []
    assert codes(rights(config(handlers=handlers), facts)) == ["topic-right"]


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (Note(0, 0, rules=RULES).encode(), []),
        (Note(0, 0, rules=(0, 1, 2)).encode(), ["group-window"]),
        ("", ["group-note"]),
        ("{}", ["group-note"]),
        ("[1]", ["group-note"]),
        ('{"v": 1}', ["group-note"]),
        ('{"v": 1, "low": null, "clock": 0, "floors": 3}', ["group-note"]),
        ("\x1b[2J", ["group-note"]),
    ],
)
def test_notes_of_a_group(note: str, expected: list[str]) -> None:
    """Ours, of another window, and other programs'."""
    assert of_group(committed(note)) == expected


def test_a_group_whose_records_have_been_removed() -> None:
    """It must read back from offset 40, and 60 is the first that is left."""
    note = Note(40, 0, rules=RULES).encode()

    assert of_group(committed(note, start=60)) == ["group-retention"]
    assert of_group(committed(note, start=40)) == []


def test_lag_and_members() -> None:
    """Notes, unless the members' client is another."""
    note = Note(0, 0, rules=RULES).encode()

    assert of_group(committed(note, end=130)) == ["group-lag"]
    assert of_group(members=("a",), state="Stable", protocol="streamguard") == ["group-active"]
    assert of_group(members=("a",), state="Stable", protocol="range") == ["group-active", "group-client"]


def test_groups_and_transactions_that_cannot_be_asked_for() -> None:
    """No right, or no coordinator."""
    assert of_group(is_forbidden=True) == ["group-right"]
    assert of_group(problem="CoordinatorNotAvailableError") == ["coordinator-unavailable"]
    facts = [Transactions("streamguard-g/"), Transactions("a/", is_forbidden=True), Transactions("b/", problem="x")]
    assert codes(transactions(facts)) == ["transaction-right", "coordinator-unavailable"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000"}, []),
        ({"group.min.session.timeout.ms": "20000", "group.max.session.timeout.ms": "1800000"}, ["session-timeout"]),
        ({"group.max.session.timeout.ms": "10000"}, ["session-timeout"]),
        ({"transaction.max.timeout.ms": "5000"}, ["transaction-timeout"]),
        ({"transaction.max.timeout.ms": "nonsense"}, []),
    ],
)
def test_timeouts(settings: dict[str, str], expected: list[str]) -> None:
    """15s and 10s are the defaults."""
    log = config().log
    assert log.kind == "kafka"

    assert codes(timeouts(log, Cluster(settings=settings))) == expected
