"""Formats of payloads in a configuration: what follows from them, and what is refused in which words."""

from typing import Any

import pytest

from streamguard.config import Config, parse
from streamguard.errors import ConfigError


def config(**sections: Any) -> Config:
    """A configuration with these sections."""
    return parse(
        {
            "log": {"kind": "kafka", "bootstrap_servers": "localhost:9092", "group": "g"},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}, "loss": "mismatch"}],
            **sections,
        }
    )


def test_plain_records_are_read_as_ever() -> None:
    """Without a format, nothing is written anew."""
    found = config()
    assert (found.topics["predictions"], found.topics["labels"]) == ("predictions", "labels")
    assert not found.predictions.is_rekeyed
    assert found.predictions.fields.time is None


def test_with_a_format_the_join_reads_the_topic_of_the_stage() -> None:
    """By the fields of what is written there, which may still be set one by one."""
    found = config(
        predictions={
            "topic": "logs",
            "format": {"type": "kserve"},
            "fields": {"value": {"path": "prediction", "type": "str"}},
        }
    )
    assert found.topics["predictions"] == "streamguard-g-predictions"
    fields = found.predictions.fields
    assert fields.time is not None
    assert fields.score is not None
    assert (fields.time.path, fields.score.path, fields.value.type) == ("timestamp", "score", "str")
    assert parse(found.model_dump(mode="json", by_alias=True)).predictions == found.predictions


def test_plain_records_may_be_written_anew_and_keep_their_fields() -> None:
    """On both sides."""
    found = config(predictions={"rekey": True}, labels={"rekey": True, "partitions": 6})
    assert (found.topics["predictions"], found.topics["labels"]) == (
        "streamguard-g-predictions",
        "streamguard-g-labels",
    )
    assert found.predictions.fields.time is None


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"predictions": {"format": {"type": "kserv"}}}, "predictions.format"),
        ({"labels": {"format": {"type": "kserve"}}}, "labels.format"),
        ({"predictions": {"format": {"type": "kserve", "pair_with": "1m"}}}, "pair_within"),
        ({"predictions": {"format": {"type": "kserve", "pair_within": 30}}}, "must say its unit"),
        (
            {"predictions": {"format": {"type": "kserve", "classes": ["a"]}}},
            "predictions.format.classes is set, but argmax",
        ),
        (
            {"predictions": {"format": {"type": "kserve", "argmax": True, "classes": ["a"], "positive": "b"}}},
            "one of classes",
        ),
        ({"predictions": {"format": {"type": "bentoml"}}}, "predictions.format.prediction"),
        ({"predictions": {"format": {"type": "bentoml", "prediction": "p", "utc_offset": "CET"}}}, "utc_offset"),
        (
            {"predictions": {"format": {"type": "kserve"}, "rekey": False}},
            "predictions.rekey must be true with format kserve",
        ),
        ({"labels": {"partitions": 3}}, "labels.partitions is set, but nothing is written anew"),
        ({"predictions": {"rekey": True, "topic": "streamguard-g-predictions"}}, "must differ"),
        ({"predictions": {"rekey": True, "topic": "labels"}}, "must differ"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(sections: dict[str, Any], words: str) -> None:
    """And nothing else is."""
    with pytest.raises(ConfigError) as found:
        config(**sections)
    assert words in str(found.value)
