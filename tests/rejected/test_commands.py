"""`streamguard rejected list` and `show`: what they print, and that it does nothing to a terminal."""

import json
import os
import pty
import subprocess
from pathlib import Path

import orjson
import pytest

from streamguard.logs.interface import Record, TopicInfo
from tests.rejected.helpers import NOW_MS, Place, output, prediction
from tests.test_cli import COMMAND, environment, streamguard

REJECTED = "streamguard-g-rejected"
HOSTILE = b'{"request_id":"\\u001b[2J","x":"[bold]\xc2\x9b31mred","n":1.10,"n":12345678901234567890123}'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of each kind a few, rejected by a worker."""
    place = Place(tmp_path)
    place.append(
        *(prediction(f"r{number}", number % 2, at=NOW_MS + 4_000_000 + number) for number in range(4)),
        prediction("r9", 1, prediction=None),
        Record("labels", b"\xff\x00", b"\x1b]0;\xff" * 300, 0, (("trace\x1b", b"\xfe"), ("id", b"7")), NOW_MS),
        Record("labels", None, HOSTILE, 1, (), NOW_MS),
        Record("labels", b"k", None, 1, (), NOW_MS),
    )
    place.work()
    return place


def test_list_counts_by_reason_and_by_place(place: Place) -> None:
    """Reasons that differ in values are one line; where all are the same, the values are there."""
    done = streamguard("rejected", "list", place.file())
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{REJECTED}: 8 records"
    reasons = [line for line in lines if " x " in line]
    assert reasons[0] == ("4 x field 'at' is N ms ahead of the record's Kafka timestamp, above join.max_ahead N ms")
    assert "1 x field 'prediction' is missing or null" in reasons
    assert [line.split(";")[0] for line in lines[-4:]] == [
        "1 from labels-0",
        "2 from labels-1",
        "2 from predictions-0",
        "3 from predictions-1",
    ]
    assert done.stdout.replace("\n", "").isprintable()


def test_list_as_json_has_all_of_it(place: Place) -> None:
    """For a program: counts that add up, and an example of each."""
    found = json.loads(streamguard("rejected", "list", place.file(), "--json").stdout)
    assert (found["topic"], found["records"], found["sent_back"]) == (REJECTED, 8, 0)
    for part in ("reasons", "origins"):
        assert sum(each["count"] for each in found[part]) == 8
    example = next(each for each in found["reasons"] if "'prediction'" in each["reason"])["example"]
    assert example == {
        "reason": "field 'prediction' is missing or null",
        "from": "predictions-1@2",
        "value": prediction("r9", 1, prediction=None).value.decode(),  # type: ignore[union-attr]
    }


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--topic", "labels"], 3),
        (["--reason", "max_ahead"], 4),
        (["--reason", "max_ahead", "--topic", "labels"], 0),
        (["--from", "2020-01-01T00:00:00Z"], 8),
        (["--to", "2020-01-01T00:00:00Z"], 0),
    ],
)
def test_filters_are_for_all_commands(place: Place, options: list[str], count: int) -> None:
    """`list` counts what `show` shows and `replay` selects."""
    assert json.loads(streamguard("rejected", "list", place.file(), "--json", *options).stdout)["records"] == count
    shown = streamguard("rejected", "show", place.file(), *options).stdout
    assert shown.count("\nreason ") == count
    said = streamguard("rejected", "replay", place.file(), "--dry-run", *options).stdout
    assert (f"  {8 - count:,} stay: they are not what the options select" in said) == (count < 8)


def test_a_terminal_gets_tables(place: Place) -> None:
    """And nothing in them that it would act on."""
    main, side = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "rejected", "list", str(place.file())], stdout=side, env=environment(COLUMNS="150", TERM="xterm")
    ) as process:
        process.wait(60)
    shown = b""
    while b"predictions-1" not in shown:
        shown += os.read(main, 65536)
    assert b"records" in shown
    assert b"\x1b]" not in shown
    assert b"\x1b[2J" not in shown
    assert b"\x1b[31m" not in shown


def test_show_is_exact_and_harmless(place: Place) -> None:
    """JSON is indented and otherwise as it came; bytes are hexadecimal; nothing acts on a terminal."""
    shown = streamguard("rejected", "show", place.file(), "--topic", "labels").stdout
    assert shown.replace("\n", "").isprintable()
    assert '    "request_id": "\\u001b[2J",\n    "x": "[bold]\\x9b31mred",\n    "n": 1.10,\n' in shown
    assert '    "n": 12345678901234567890123\n  }\n' in shown
    assert "key      0xff00\nheader   trace\\x1b: 0xfe\nheader   id: 7\nvalue\n  00000000  1b 5d 30 3b ff" in shown
    assert "  ... and 476 bytes more: --raw writes all of them\n" in shown
    assert "value\n  (no value)\n" in shown
    assert "from     labels-1@0, of 2026-02-02T02:40:00.000Z\n" in shown


def test_show_stops_at_the_limit(place: Place) -> None:
    """And says that there are more."""
    shown = streamguard("rejected", "show", place.file(), "--limit", "3").stdout
    assert shown.count("\nreason ") == 3
    assert shown.endswith("\nthere are more than 3: narrow them down, or raise --limit\n")


def test_raw_writes_one_value(place: Place) -> None:
    """Byte for byte, by the place that `show` names."""
    shown = streamguard("rejected", "show", place.file(), "--reason", "not JSON", "--topic", "labels").stdout
    at = shown.split("  ", 1)[0]
    raw = subprocess.run(
        [*COMMAND, "rejected", "show", str(place.file()), "--at", at, "--raw"],
        capture_output=True,
        check=True,
        env=environment(),
    ).stdout
    assert raw == b"\x1b]0;\xff" * 300


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (["--raw"], 2, "error: --raw: writes the value of one record: name it by --at PARTITION:OFFSET\n"),
        (["--at", "5"], 2, "error: --at: must be PARTITION:OFFSET, such as 0:1812, got '5'\n"),
        (["--at", "7:0"], 2, f"error: --at: topic '{REJECTED}' has the partitions 0 to 1, not 7\n"),
        (["--at", "0:99999"], 3, f"error: {REJECTED}-0@99999: there is no record; the partition has 0 to "),
        (["--from", "noon"], 2, "error: --from: time 'noon' is not RFC 3339, such as 2026-01-31T12:00:00Z\n"),
        (["--dead-letters"], 3, "error: no topic 'streamguard-g-dead-letters' yet: `streamguard handle` creates it"),
    ],
)
def test_what_is_not_there_is_said(place: Place, options: list[str], code: int, error: str) -> None:
    """In a line, with the way out."""
    done = streamguard("rejected", "show", place.file(), *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(error)


def test_what_was_sent_back_is_counted(place: Place) -> None:
    """In the list it stays, as long as the topic keeps it."""
    assert streamguard("rejected", "replay", place.file(), "--force", "--reason", "max_ahead").returncode == 0
    assert streamguard("rejected", "list", place.file()).stdout.startswith(
        f"{REJECTED}: 8 records, 4 of them sent back\n"
    )


def test_records_of_nobody_are_shown(place: Place) -> None:
    """What somebody else has written onto the topic is no reason to fail, and is never sent."""
    own = [(name, b"\xff") for name, _ in output(b"").headers]
    with place.log() as log:
        log.append([Record(REJECTED, None, b"[1,", 0), Record(REJECTED, None, b"", 1, own)])
    listed = streamguard("rejected", "list", place.file())
    assert (listed.returncode, listed.stdout.splitlines()[0]) == (0, f"{REJECTED}: 10 records")
    assert "2 from a place that is not named; " in listed.stdout
    shown = streamguard("rejected", "show", place.file(), "--limit", "99")
    assert "from     a place that its headers do not name" in shown.stdout
    assert "value\n  [1,\n" in shown.stdout
    said = streamguard("rejected", "replay", place.file())
    assert "  2 stay: they came from no input of this configuration" in said.stdout


def test_dead_letters_are_shown_the_same_way(place: Place) -> None:
    """Alerts that no handler could deliver have the same headers."""
    dead = output(orjson.dumps({"id": "a"}), "after 3 tries: example.com:443 answered 404: gone").headers
    with place.log() as log:
        log.create(TopicInfo("streamguard-g-dead-letters", 1))
        log.append([Record("streamguard-g-dead-letters", b"e", b'{"id": "a"}', 0, dead)])
    listed = streamguard("rejected", "list", place.file(), "--dead-letters").stdout
    assert listed.splitlines()[:2] == [
        "streamguard-g-dead-letters: 1 records",
        "1 x after 3 tries: example.com:443 answered 404: gone",
    ]
    assert '"id": "a"' in streamguard("rejected", "show", place.file(), "--dead-letters").stdout
