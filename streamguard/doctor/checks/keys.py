"""Whether a request's prediction and label are on the same partition number, and if not, why.

Where a producer is given a key, its partitioner hashes it. Kafka's Java clients, kafka-python and streamguard take
murmur2; librdkafka (confluent-kafka, Go, .NET, Node) by its default CRC-32; Sarama (Go) FNV-1a.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from streamguard.config import Config
from streamguard.doctor.checks.records import Looked
from streamguard.doctor.finding import Finding
from streamguard.logs.partitioner import partitions_of

_LEAST = 20
_NEARLY_ALL, _FEW = 0.98, 0.01
_MURMUR2 = "murmur2"

NAMES = {
    _MURMUR2: "murmur2 (Java clients, kafka-python)",
    "crc32": "CRC-32 (librdkafka's default, consistent_random)",
    "fnv1a": "FNV-1a (Sarama)",
}
MENDS = {
    "crc32": "set partitioner=murmur2_random in the librdkafka producer of topic {topic!r}",
    "fnv1a": "give the Sarama producer of topic {topic!r} a partitioner with murmur2",
}


@dataclass(frozen=True, slots=True)
class Keyed:
    """The readable records of a topic: of each its partition, key and request ID."""

    topic: str
    count: int
    """Of partitions."""
    partitions: list[int]
    keys: list[bytes | None]
    ids: list[str]


def keyed(each: Looked, count: int) -> Keyed:
    """What is needed of a sample, whose topic has so many partitions."""
    found = Keyed(each.sample.topic, count, [], [], [])
    for read in each.reads:
        places = np.searchsorted(np.asarray(read.batch.offsets, np.int64), read.columns.offsets)
        found.keys.extend(read.batch.keys[int(place)] for place in places)
        found.ids.extend(read.columns.ids.tolist())
        found.partitions.extend([read.batch.source.partition] * len(places))
    return found


def crc32_partitions(keys: Sequence[bytes], count: int) -> list[int]:
    """As librdkafka's `consistent`."""
    return [crc32(key) % count for key in keys]


def fnv1a_partitions(keys: Sequence[bytes], count: int) -> list[int]:
    """As Sarama's hash partitioner: the hash is taken for a signed number, whose remainder loses its sign."""
    found = []
    for key in keys:
        value = 2_166_136_261
        for byte in key:
            value = (value ^ byte) * 16_777_619 & 0xFFFFFFFF
        signed = value - (1 << 32) if value >= 1 << 31 else value
        found.append(abs(int(np.fmod(signed, count))))
    return found


PARTITIONERS = {_MURMUR2: partitions_of, "crc32": crc32_partitions, "fnv1a": fnv1a_partitions}


def partitioner(topic: Keyed) -> str | None:
    """Which one explains where the records are; None where none does, or too few say so."""
    places = [place for place, key in enumerate(topic.keys) if key is not None]
    keys = [topic.keys[place] or b"" for place in places]
    if topic.count < 2 or len(set(keys)) < _LEAST:
        return None
    actual = np.array([topic.partitions[place] for place in places])
    shares = {name: float((np.array(of(keys, topic.count)) == actual).mean()) for name, of in PARTITIONERS.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _NEARLY_ALL else None


def keys(config: Config, predictions: Keyed, labels: Keyed) -> Iterator[Finding]:
    """Both inputs; with a single partition everything meets."""
    if predictions.count != labels.count or predictions.count < 2:
        return
    apart = _apart(predictions, labels)
    explained = False
    for topic in (predictions, labels):
        found = list(_keys(config, topic, is_proven=apart == (0, True)))
        explained |= any(each.code == "keys-missing" for each in found)
        yield from found
    theirs = {topic.topic: partitioner(topic) for topic in (predictions, labels)}
    names = [theirs[predictions.topic], theirs[labels.topic]]
    if None not in names and names[0] != names[1]:
        explained = True
        yield _differ(predictions.topic, labels.topic, str(names[0]), str(names[1]))
    elif apart != (0, True):
        for topic in (predictions, labels):
            if theirs[topic.topic] is None and len({key for key in topic.keys if key is not None}) >= _LEAST:
                yield Finding(
                    "partitioner-unknown",
                    f"where the keys of topic {topic.topic!r} are fits neither {', nor '.join(NAMES.values())}",
                    "see how its producer chooses partitions: both topics need the same way",
                )
    count, _ = apart
    if count and not explained:
        yield Finding(
            "pairs-apart",
            f"{count:,} request IDs have their prediction and label on different partition numbers",
            "send the request ID as key on both topics, by the same partitioner; records from before that stay apart",
        )


def _apart(predictions: Keyed, labels: Keyed) -> tuple[int, bool]:
    """How many IDs are on different partitions, and whether enough are in both samples to say so."""
    at = dict(zip(predictions.ids, predictions.partitions, strict=True))
    both = {name: number for name, number in zip(labels.ids, labels.partitions, strict=True) if name in at}
    wrong = sum(1 for name, number in both.items() if at[name] != number)
    # A producer that was mended leaves some behind.
    return (wrong if wrong > _FEW * len(both) else 0), len(both) >= _LEAST


def _keys(config: Config, topic: Keyed, *, is_proven: bool) -> Iterator[Finding]:
    total = len(topic.keys)
    without = sum(1 for key in topic.keys if key is None)
    if is_proven:
        return
    if total and without > _FEW * total:
        yield Finding(
            "keys-missing",
            f"{without:,} of the newest {total:,} records of topic {topic.topic!r} have no key",
            "let its producer send the request ID as key",
        )
        return
    other = [(key, name) for key, name in zip(topic.keys, topic.ids, strict=True) if key != name.encode()]
    if total and len(other) > _FEW * total:
        key, name = other[0]
        section = "predictions" if topic.topic == config.predictions_topic else "labels"
        yield Finding(
            "keys-not-request-id",
            f"{len(other):,} of the newest {total:,} records of topic {topic.topic!r} have another key than their"
            f" request ID, such as {(key or b'')[:40]!r} for {name[:40]!r}",
            f"let its producer send the field {_path(config, section)!r} as key",
        )


def _path(config: Config, section: str) -> str:
    return (config.predictions if section == "predictions" else config.labels).fields.request_id.path


def _differ(predictions: str, labels: str, first: str, second: str) -> Finding:
    wrong = [(name, topic) for name, topic in ((first, predictions), (second, labels)) if name != _MURMUR2]
    return Finding(
        "partitioners-differ",
        f"topic {predictions!r} is partitioned by {NAMES[first]}, and {labels!r} by {NAMES[second]}: the same key is on"
        " different partitions",
        "; ".join(MENDS[name].format(topic=topic) for name, topic in wrong),
    )
