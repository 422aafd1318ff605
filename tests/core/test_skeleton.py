"""The law: a reader with skeletons reads every batch as the reader of single records does."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.codec import Mapping, Reader, Watch
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.records import Blobs
from streamguard.core.skeleton import Found, Ints, Skeletons, _Layout
from tests.core.helpers import as_json, batch

NOW = 1_700_000_000_000
PLAIN = Mapping(("id",), ("value",))
TIMED = replace(PLAIN, time=("at",), max_ahead_ms=1000)
WATCHES = Watch(((("model",), "fraud"),), (("geo", "country"),)), Watch((), (("version",),))
MAPPINGS: dict[str, tuple[Mapping, tuple[Watch, ...]]] = {
    "plain": (PLAIN, ()),
    "timed": (TIMED, ()),
    "watched": (replace(TIMED, model=("model",)), WATCHES[:1]),
    "scored": (replace(TIMED, score=("score",), value_type="float"), WATCHES),
    "nested": (Mapping(("meta", "id"), ("out", "class"), time=("meta", "at"), score=("score",)), WATCHES),
    "declared": (replace(TIMED, value_type="str", record_bytes=150, request_id_chars=20), ()),
    "boolean": (replace(PLAIN, value_type="bool"), WATCHES),
}


class Single(Skeletons):
    """Leaves every record to the reader of single records."""

    def read(self, blobs: Blobs, record_ms: Ints) -> Iterator[Found]:
        del blobs, record_ms
        return iter(())


class Counting(Skeletons):
    """Counts what it reads."""

    count = 0
    call_counts: tuple[int, ...] = ()

    def read(self, blobs: Blobs, record_ms: Ints) -> Iterator[Found]:
        before = self.count
        for found in super().read(blobs, record_ms):
            self.count += len(found.rows)
            yield found
        self.call_counts += (self.count - before,)


def reader_of(kind: type[Skeletons], mapping: Mapping, watches: tuple[Watch, ...]) -> tuple[Reader, Any]:
    """A reader, and what reads its skeletons."""
    reader = Reader(mapping, watches)
    reader._skeletons = kind(
        reader._read_one,
        is_timed=mapping.time is not None,
        max_ahead_ms=mapping.max_ahead_ms,
        record_bytes=mapping.record_bytes,
    )
    return reader, reader._skeletons


class Pair:
    """Two readers of the same batches, which must agree."""

    def __init__(self, mapping: Mapping = TIMED, watches: tuple[Watch, ...] = ()) -> None:
        self._fast, self.skeletons = reader_of(Counting, mapping, watches)
        self._slow, _ = reader_of(Single, mapping, watches)
        self._start = 0

    def read(self, values: list[bytes | None], times: list[int] | int = NOW) -> None:
        """One more batch."""
        records = batch(values, times, start=self._start)
        self._start += len(values)
        columns, rejections = self._fast.read(records)
        expected, expected_rejections = self._slow.read(records)
        assert rejections == expected_rejections
        assert columns.offsets.tolist() == expected.offsets.tolist()
        assert columns.times.tolist() == expected.times.tolist()
        assert columns.ids.tolist() == expected.ids.tolist()
        # Their text tells 1, 1.0 and true apart, and makes NaN equal to itself.
        assert repr(columns.values.tolist()) == repr(expected.values.tolist())
        for mine, other in ((columns.scores, expected.scores), (columns.routes, expected.routes)):
            assert (mine is None) == (other is None)
            if mine is not None and other is not None:
                assert repr(mine.tolist()) == repr(other.tolist())
        assert self._fast.pop_unmonitored() == self._slow.pop_unmonitored()


ODD_IDS = ['"', "\\", "\n", "\0", "\x7f", "é", "中", "a\\", '\\"', "aaaa", "1700000000000", "id", "", "a" * 30]
"""Beside the usual: what needs escapes, is not ASCII, or is somewhere else in the record too."""
ODD_TIMES = [
    b"0",
    b"-1",
    b"01700000000000",
    b"1700000000000.5",
    b"1.7e12",
    b"17E11",
    b'"2023-11-14T22:13:20Z"',
    b'"1700000000000"',
    b"null",
    b"NaN",
    b"1700000001000",
    b"1700000001001",
    b"9999999999999",
    b"253402300799999",
    b"253402300800000",
    b"99999999999999999999",
    b"true",
    b"[1700000000000]",
    b"1",
    b"7",
]
ODD_VALUES = [
    *(b"1", b"1.0", b"1e0", b"-0", b"-0.0", b"0.5", b"5e-1", b"1e999", b"18446744073709551616", b"1700000000000"),
    *(b"NaN", b"true", b"false", b"null", b"[]", b"{}"),
    *(b'"a"', b'"1"', b'"0.5"', b'"\\u0061"', b'"\xc3\xa9"', b'"\xff"', b'"1700000000000"'),
]
EXTRAS = [
    *(b'"x":"constant"', b'"at2":1700000000000', b'"id2":"r"', b'"z":null', b'"id":"first"', b'"at":1600000000000'),
    *(b'"n":[1,2,{"id":"inner"}]', b'"other":{"at":1700000000000,"id":"r"}', b'"e":"\\"id\\":\\"r0\\""'),
    '"ü":"é"'.encode(),
]


@dataclass(frozen=True)
class Template:
    """How a producer writes its records."""

    parts: tuple[bytes, ...]
    """What stands around and between the fields."""
    fields: tuple[str, ...]

    def fill(self, values: dict[str, bytes]) -> bytes:
        """A record."""
        filled = itertools.zip_longest(self.parts, (values[name] for name in self.fields), fillvalue=b"")
        return b"".join(itertools.chain.from_iterable(filled))


def template(chance: Random, fields: list[str]) -> Template:
    """Keys in any order, with any whitespace, and other fields between, some of which look like those that count."""
    gap = chance.choice([b"", b" ", b"\n\t", b"  "])
    chosen = chance.sample(fields, len(fields)) + [None] * chance.randrange(4)
    chance.shuffle(chosen)
    texts, names, text = [], [], b"{" + gap
    for place, name in enumerate(chosen):
        comma = b"," + gap if place else b""
        if name is None:
            text += comma + chance.choice(EXTRAS)
            continue
        # One value may stand in two fields.
        again = chance.random() < 0.03
        key = b'"' + name.encode() + b'":' + gap
        texts.append(text + comma + key)
        names.append(name)
        text = b""
        if again:
            texts.append(b"," + b'"copy of it":')
            names.append(name)
    texts.append(text + gap + b"}")
    return Template(tuple(texts), tuple(names))


def variants(chance: Random, mapping: Mapping) -> list[dict[str, bytes]]:
    """What is the same in many records: classes, segments and scores are few."""
    value = {"float": b'"0.5"', "bool": b"true", "str": b'"yes"'}.get(mapping.value_type or "", b'"yes"')
    return [
        {
            "value": value
            if chance.random() < 0.7
            else chance.choice([b'"no"', b"1", b"0.25", b"0", b"1700000000000"]),
            "score": chance.choice([b"0.5", b"0.25", b"null"]),
            "model": chance.choice([b'"fraud"', b'"fraud"', b'"fraud"', b'"spam"', b"7"]),
            "version": chance.choice([b"1", b'"1"', b"1.0", b"null"]),
            "geo": chance.choice([b'{"country":"DE"}', b'{"country":"FR"}', b"{}", b'"DE"']),
        }
        for _ in range(chance.choice([1, 3, 8]))
    ]


def usual_fields(chance: Random, variant: dict[str, bytes], number: int) -> dict[str, bytes]:
    """What a record says in the usual case."""
    found = {
        **variant,
        "id": b'"r%08d"' % number if chance.random() < 0.9 else b'"r%d"' % number,
        "at": b"%d" % (NOW - chance.randrange(100_000)),
    }
    return with_nested(found)


def with_nested(fields: dict[str, bytes]) -> dict[str, bytes]:
    """The fields that are objects of the others, too."""
    meta = b'{"id":%s,"at":%s}' % (fields["id"], fields["at"])
    return {**fields, "meta": meta, "out": b'{"class":%s}' % fields["value"]}


def odd_fields(chance: Random, usual: dict[str, bytes]) -> dict[str, bytes]:
    """One field is not as usual."""
    name = chance.choice(["id", "id", "at", "at", "value", "score"])
    if name == "id":
        text = chance.choice(ODD_IDS) + chance.choice(["", "0000000", "r"])
        odd = (
            as_json(id=text)[6:-1] if chance.random() < 0.8 else chance.choice([b"7", b"null", b'"\\u0072"', b'"\\/"'])
        )
    else:
        odd = chance.choice(
            {"at": ODD_TIMES, "value": ODD_VALUES}.get(name, [b"2", b"-1", b'"1"', b"1e-1", b"NaN", b"1"])
        )
    return with_nested({**usual, name: odd})


def mutated(chance: Random, raw: bytes) -> bytes:
    """Broken by a byte, or nearly so."""
    at = chance.randrange(len(raw))
    kind = chance.randrange(6)
    if kind == 0:
        return raw[:at]
    if kind == 1:
        return raw + chance.choice([b"x", b" ", b"{}", b"\0", b"\n"])
    if kind == 2:
        return raw[:at] + chance.choice([b"", bytes([raw[at]]) * 2]) + raw[at + 1 :]
    common = b'"\\{}[]:,.-+eE0123456789 \n\tnulltrue\0\xff\xc3\xa9'
    byte = chance.choice(common) if chance.random() < 0.7 else chance.randrange(256)
    return raw[:at] + bytes([byte]) + raw[at + 1 :]


def times_of(chance: Random, count: int) -> list[int]:
    """Kafka timestamps: usually all alike, sometimes none, early, or late."""
    if chance.random() < 0.5:
        return [NOW] * count
    odd = [
        -1,
        0,
        1,
        NOW - 1000,
        NOW - 50_000,
        NOW - 200_000,
        NOW + 10**9,
        253_402_300_799_999,
        253_402_300_800_000,
        1 << 62,
    ]
    return [chance.choice(odd) if chance.random() < 0.1 else NOW for _ in range(count)]


def fields_of(mapping: Mapping) -> list[str]:
    """The top-level fields of records of this kind."""
    names = {path[0] for path in (mapping.request_id, mapping.value, mapping.time, mapping.score) if path}
    return sorted(names | {"model", "version", "geo"})


class Producer:
    """Writes mostly usual records by a few templates, some odd, some broken."""

    def __init__(self, chance: Random, mapping: Mapping) -> None:
        self._chance = chance
        self._templates = [template(chance, fields_of(mapping)) for _ in range(chance.choice([1, 1, 2, 4]))]
        self._variants = variants(chance, mapping)
        self._number = 0

    def batch(self, count: int) -> list[bytes | None]:
        """The next records."""
        odd_share = self._chance.choice([0, 0.01, 0.1, 0.5])
        return [self._record(odd_share) for _ in range(count)]

    def _record(self, odd_share: float) -> bytes | None:
        chance = self._chance
        self._number += 1
        fields = usual_fields(chance, chance.choice(self._variants), self._number)
        if chance.random() < odd_share:
            fields = odd_fields(chance, fields)
        raw = chance.choice(self._templates).fill(fields)
        if chance.random() < odd_share / 2:
            raw = mutated(chance, raw)
        return None if chance.random() < odd_share / 10 else raw


@pytest.mark.parametrize("name", MAPPINGS)
def test_both_ways_read_the_same(name: str) -> None:
    """Whatever templates, values, times and damage there are, batch after batch; and many are read at once."""
    mapping, watches = MAPPINGS[name]
    record_count = read_count = 0
    for seed in range(12):
        chance = Random(f"{name} {seed}")  # noqa: S311 - tests must repeat
        pair, producer = Pair(mapping, watches), Producer(chance, mapping)
        for _ in range(8):
            count = chance.choice([1, 60, 300, 600])
            pair.read(producer.batch(count), times_of(chance, count))
            record_count += count
        read_count += pair.skeletons.count
    assert read_count > 0.05 * record_count


def usual(number: int, at_ms: int = NOW, **fields: Any) -> bytes:
    """A record of the template that most tests have; those of numbers alike in length are of one skeleton."""
    return as_json(**fields, x=0, id=f"r{number:06}", model="fraud", value="yes", at=at_ms)


def test_usual_records_are_read_at_once() -> None:
    """The law would hold of a reader without skeletons: that they read is asserted here."""
    pair = Pair(TIMED, WATCHES[:1])
    for start in range(0, 5000, 500):
        pair.read([usual(number, NOW - number, geo={"country": "DE"}) for number in range(start, start + 500)])
    assert pair.skeletons.count == 5000


def test_a_batch_of_several_kinds_is_read_at_once() -> None:
    """Classes, segments, key orders, lengths of ID and records that are odd among them."""
    pair = Pair(replace(TIMED, score=("score",)), WATCHES)
    for start in range(0, 6000, 1000):
        values: list[bytes | None] = []
        for number in range(start, start + 1000):
            at = {"at": NOW - number, "id": f"{number:0{6 + number % 3}}"}
            rest = {"value": number % 2, "score": 0.5, "model": "fraud", "geo": {"country": "DE"}}
            values.append(as_json(**{**at, **rest} if number % 5 else {**rest, **at}) if number % 50 else b"{}")
        pair.read(values)
    assert pair.skeletons.count > 0.9 * 6000


def test_records_that_do_not_repeat_are_left_alone_more_and_more() -> None:
    """Looking for repetitions in vain costs time; after a pause of at most 64 batches it is tried again."""
    pair = Pair()
    looks = 0
    for start in range(0, 30_000, 100):
        looks += pair.skeletons._pause == 0
        pair.read([usual(number, unique=f"{number:06}") for number in range(start, start + 100)])
    assert pair.skeletons.count == 0
    assert looks < 15
    for start in range(0, 7000, 100):
        pair.read([usual(number) for number in range(start, start + 100)])
    assert pair.skeletons.count >= 500
    assert pair.skeletons.call_counts[-1] == 100


KNOWN = [usual(number) for number in range(100)]
BYTES = [*b'"\\{}[]:,.-+eE 0123456789\n\t\0\x7f\xff\xc3\xa9\xe4ntfaxr']


def test_one_other_byte_anywhere_is_noticed() -> None:
    """Each byte of a known record replaced by each of those that mean something, or nothing, in JSON."""
    pair = Pair(TIMED, WATCHES[:1])
    good = as_json(x=0, id="r000001", model="fraud", value="yes", geo={"country": "DE"}, at=NOW)
    pair.read([good] * 100)
    for place in range(len(good)):
        pair.read([*([good] * 100), *(good[:place] + bytes([byte]) + good[place + 1 :] for byte in BYTES)])
    assert pair.skeletons.count > 100 * len(good)


@pytest.mark.parametrize("at", ODD_TIMES)
@pytest.mark.parametrize("other", [0, 5, NOW])
def test_times_of_all_kinds(at: bytes, other: int) -> None:
    """As the only kind there is, and among usual ones of their length; digits alike stand elsewhere too."""
    raw = [b'{"x":%d,"id":"r%06d","at":%s,"value":"yes","y":%d}' % (other, number, at, other) for number in range(100)]
    usual_times = [b"%d" % (NOW % 10 ** len(at) or 1 + number % 9) for number in range(100)]
    near = [each.replace(b'"at":' + at, b'"at":' + time) for each, time in zip(raw, usual_times, strict=True)]
    for times in (NOW, 0, -1, 1 << 62):
        pair = Pair()
        for values in (raw, near, raw + near, raw):
            pair.read([*values], times)


def test_times_beyond_the_last_are_refused() -> None:
    """However late the records themselves say that they are."""
    pair = Pair()
    for first in (TIME_MAX_MS - 1000, TIME_MAX_MS - 50, TIME_MAX_MS + 1):
        pair.read([usual(number, first + number) for number in range(100)], 1 << 62)
    assert pair.skeletons.count == 151


@pytest.mark.parametrize("request_id", ODD_IDS)
def test_ids_of_all_kinds(request_id: str) -> None:
    """As the only kind there is, and among usual ones of their length."""
    odd = [as_json(id=request_id, at=NOW - number, value="yes", other=request_id) for number in range(100)]
    size = len(as_json(id=request_id)) - len(as_json(id=""))
    near = [as_json(id="b" * size, at=NOW - number, value="yes", other=request_id) for number in range(100)]
    for parts in ((odd, near, odd), (near, odd, near), (odd + near, odd + near)):
        pair = Pair()
        for values in parts:
            pair.read([*values])


@pytest.mark.parametrize("raw", ODD_VALUES)
@pytest.mark.parametrize("kind", [None, "int", "float", "str", "bool"])
def test_values_of_all_kinds(raw: bytes, kind: str | None) -> None:
    """Beside one that a dict takes for the same key."""
    pair = Pair(replace(TIMED, value_type=kind))
    for each in (raw, b"1", b"true", b"1.0", raw):
        pair.read([b'{"id":"r%06d","at":%d,"value":%s}' % (number, NOW, each) for number in range(100)])


@pytest.mark.parametrize("names", [("id", "di"), ("at", "ta")])
def test_two_fields_that_change_places(names: tuple[str, str]) -> None:
    """Where known records have their ID, others of their length have a text that is none; so with the time."""
    one, other = names
    kinds: list[list[bytes | None]] = []
    for first, second in ((one, other), (other, one)):
        for start in (0, 100):
            fields = [{"id": f"r{n:06}", "at": NOW - n, "di": "r000000", "ta": NOW - 555} for n in range(start, 200)]
            # Of the second kind the field itself stays the same, and the one like it changes.
            fields = fields if first == one else [{**each, one: each[other], other: each[one]} for each in fields]
            order = [first, second, *({"id", "at"} - {one})]
            kinds.append([as_json(value="yes", **{name: each[name] for name in order}) for each in fields])
    for order_of_kinds in (kinds, kinds[::-1], [kinds[0] + kinds[2]] * 2):
        pair = Pair()
        for values in order_of_kinds:
            pair.read(values)
        assert pair.skeletons.count >= 100


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("id", "r000055"), ("at", str(NOW - 55)), ("meta", as_json(at=NOW - 55, id="r000055").decode())],
)
def test_a_monitor_may_match_the_id_or_the_time(path: str, wanted: str) -> None:
    """Then where a record goes is no matter of its skeleton."""
    watches = Watch((((path,), wanted),), ()), Watch((), ())
    fields = [{"id": f"r{number:06}", "at": NOW - number} for number in range(100)]
    mapping, values = TIMED, [as_json(value="yes", **each) for each in fields]
    if path == "meta":
        mapping = replace(TIMED, request_id=("meta", "id"), time=("meta", "at"))
        values = [as_json(value="yes", meta=each) for each in fields]
    pair = Pair(mapping, watches)
    for _ in range(3):
        pair.read([*values])


def test_skeletons_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash says where to look; the bytes decide."""
    monkeypatch.setattr(_Layout, "hashes", lambda _, words: np.zeros(len(words), np.uint64))
    pair = Pair()
    for _ in range(3):
        pair.read([usual(number).replace(b"yes", b"yno"[number % 2 :][:1] * 3) for number in range(100)])
    assert pair.skeletons.count >= 100


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 70), st.integers(0, 3), st.binary(max_size=3)), max_size=60),
    st.sampled_from([NOW, NOW - 1, NOW - 1001, -1, 0]),
)
def test_any_damage_to_known_records_is_noticed(damage: list[tuple[int, int, int, bytes]], time_ms: int) -> None:
    """Bytes replaced, put in or taken out, in one batch with records that are as usual."""
    pair = Pair(TIMED, ())
    pair.read([*KNOWN])
    values: list[bytes | None] = [*KNOWN, *KNOWN]
    for row, at, removed, put in damage:
        values[row] = KNOWN[row][:at] + put + KNOWN[row][at + removed :]
    pair.read(values, [NOW if row % 2 else time_ms for row in range(len(values))])
    assert pair.skeletons.count >= 100
