"""Incidents from files: what is read, and what is said of a file that is wrong."""

import csv
import io
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.alerts import rfc3339
from streamguard.errors import ConfigError
from streamguard.replay.truth import EXAMPLES, Incident, load_truth, strangers

BEGIN_MS, END_MS = 1_767_715_426_000, 1_767_724_200_000
RELEASE = Incident("bad release", BEGIN_MS, END_MS, "fraud", {"version": "7"})
HEADER = "from,to,name,monitor,segment\n"


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file of this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def problem(path: Path) -> str:
    """What is said of a file, without its folder."""
    with pytest.raises(ConfigError) as raised:
        load_truth(path)
    return str(raised.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("ending", EXAMPLES)
def test_what_a_message_shows_as_right_is_right(tmp_path: Path, ending: str) -> None:
    """Whoever copies the example gets the incident that it says."""
    example = EXAMPLES[ending]
    if ending == ".csv":
        row, _, header = example.removesuffix(")").partition(" (below ")
        example = f"{header}\n{row}\n"

    assert load_truth(written(tmp_path, f"truth{ending}", example)) == [RELEASE]


def test_only_the_begin_is_needed(tmp_path: Path) -> None:
    """It may be called `at`, and be epoch milliseconds; then the incident is of anything, and stays."""
    path = written(tmp_path, "truth.jsonl", f'{{"at": {BEGIN_MS}}}\n\n{{"from": 5, "to": null, "segment": {{}}}}\n')

    assert load_truth(path) == [
        Incident("1970-01-01T00:00:00.005Z", 5),
        Incident("2026-01-06T16:03:46.000Z", BEGIN_MS),
    ]


def test_segments_are_text_as_monitors_split_by_it(tmp_path: Path) -> None:
    """7 is "7", true is "true", null is a field that is not there; and NO is a country."""
    yaml = 'at: 1, segment: {version: 7, new: true, site: null, country: NO, tag: "010"}'
    found = load_truth(written(tmp_path, "truth.yaml", f"# ours\n- {{{yaml}}}\n"))

    assert found[0].segment == {"version": "7", "new": "true", "site": None, "country": "NO", "tag": "010"}


def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    """A byte order mark, quotes, other columns' order, empty cells and lines, short rows, numbers as times."""
    text = (
        "\ufeffname, from ,segment,monitor,to\r\n"
        '"late, and bad",10,version=7; country=DE,,20\r\n'
        ",,,,\r\n"
        'null,30,"{""site"": null}"\r\n'
    )

    assert load_truth(written(tmp_path, "truth.csv", text)) == [
        Incident("late, and bad", 10, 20, None, {"version": "7", "country": "DE"}),
        Incident("null", 30, None, None, {"site": None}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", '{"at": 1}\n{"frm": 2}', "t.jsonl:2: unknown key 'frm': did you mean from?"),
        (
            "t.jsonl",
            '{"at": 1, "zzz": 2}',
            "t.jsonl:1: unknown key 'zzz': there is from, at, to, name, monitor, segment",
        ),
        ("t.jsonl", '\n{"name": "x"}', "t.jsonl:2: from is missing: when it began"),
        ("t.jsonl", '{"from": null}', "t.jsonl:1: from is missing: when it began"),
        ("t.jsonl", '{"from": 1, "at": 1}', "t.jsonl:1: from and at mean the same: give one"),
        ("t.jsonl", '{"at": "6 January"}', "t.jsonl:1: at: time '6 January' is not RFC 3339"),
        ("t.jsonl", '{"at": 1, "to": "2026-01-06T16:03:46"}', "to: time '2026-01-06T16:03:46' has no UTC offset"),
        (
            "t.jsonl",
            '{"from": 1000, "to": 999}',
            "to (1970-01-01T00:00:00.999Z) is before from (1970-01-01T00:00:01.000Z)",
        ),
        ("t.jsonl", '{"at": 1, "name": 7}', "t.jsonl:1: name must be text, got 7"),
        ("t.jsonl", '{"at": 1, "monitor": ""}', "t.jsonl:1: monitor must be text, got ''"),
        (
            "t.jsonl",
            '{"at": 1, "segment": "7"}',
            't.jsonl:1: segment must be a mapping such as {"version": "7"}, got a string',
        ),
        ("t.jsonl", "[1]", "t.jsonl:1: an incident must be a mapping, got an array"),
        ("t.jsonl", '{"at": 1}\n{"at": }', "t.jsonl:2: not JSON: unexpected character"),
        ("t.jsonl", '{"at": }', "at column 8; right"),
        ("t.jsonl", "\n \n", "t.jsonl: there is no incident in it"),
        ("t.csv", "", "t.csv: there is no incident in it"),
        ("t.csv", HEADER, "t.csv: there is no incident in it"),
        ("t.csv", "from;to\n1;2\n", "t.csv:1: unknown column 'from;to': did you mean from?"),
        ("t.csv", "from,montor\n1,x\n", "t.csv:1: unknown column 'montor': did you mean monitor?"),
        ("t.csv", "from,to,from\n", "t.csv:1: the header has the column 'from' twice"),
        ("t.csv", "from,to\n1,2\n1,2,3\n", "t.csv:3: 3 cells below a header of 2"),
        ("t.csv", 'from,name\n1,"x\n', "not valid CSV: unexpected end of data"),
        ("t.csv", "from,segment\n1,version\n", "t.csv:2: segment 'version' is not like version=7;country=DE"),
        ("t.csv", "from,segment\n1,{version\n", "t.csv:2: not JSON: "),
        ("t.csv", "from,name\n,x\n", "t.csv:2: from is missing"),
        ("t.yaml", "# none yet\n", "t.yaml: there is no incident in it"),
        ("t.yaml", "- at: 1\n- at: 2\n  too: 3\n", "t.yaml:2: unknown key 'too': did you mean to?"),
        ("t.yml", "at: 1\n", "t.yml: must be a list of incidents, got an object"),
        ("t.yaml", "- &a {att: 1}\n- *a\n", "t.yaml:1: unknown key 'att': did you mean at?"),
        ("t.yaml", "- a: {\n", "t.yaml:2:1: not valid YAML"),
        ("t.json", " ", "t.json: there is no incident in it"),
        ("t.json", "[]", "t.json: there is no incident in it"),
        ("t.json", '[{"at": 1}, 2]', "t.json: entry 2: an incident must be a mapping, got a number"),
        ("t.json", '[\n{"at": x}]', "at line 2 column 8; right"),
        ("t.jsonl", b'{"at": \xff}', "t.jsonl: not UTF-8 text: byte 7"),
        ("t.txt", "", "t.txt: incidents are read from files that end in .jsonl, .csv, .yaml, .yml, .json"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    """File, line or entry, and what; and how it would be right, wherever one can write anything right at all."""
    found = problem(written(tmp_path, name, content))

    assert said in found
    general = ("not UTF-8", "files that end in", "not valid YAML")
    ending = Path(name).suffix
    assert any(words in found for words in general) or found.endswith(f"; right would be: {EXAMPLES[ending]}")


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    """Nor can a folder."""
    assert problem(tmp_path / "none.csv") == "none.csv: cannot be read: No such file or directory"
    (tmp_path / "folder.csv").mkdir()
    assert problem(tmp_path / "folder.csv") == "folder.csv: cannot be read: Is a directory"


def test_an_alias_stands_for_an_incident(tmp_path: Path) -> None:
    """It has no line of its own, and is an entry all the same."""
    assert len(load_truth(written(tmp_path, "truth.yaml", "- &a {at: 1}\n- *a\n"))) == 2


def test_what_no_monitor_can_tell_of_is_named() -> None:
    """A monitor that there is not, and a field that none, or not that one, is split by."""
    split_by = {"fraud": ["version", "country"], "churn": []}
    incidents = [
        Incident("a", 0, monitor="fraud", segment={"version": "7"}),
        Incident("b", 0, monitor="frau", segment={"verson": "7"}),
        Incident("c", 0, segment={"country": "DE", "verson": "7"}),
        Incident("d", 0, monitor="churn", segment={"country": "DE"}),
    ]

    assert strangers(incidents, split_by) == [
        "incident 'b': there is no monitor 'frau': did you mean fraud?",
        "incident 'c': no monitor is split by field 'verson': did you mean version?",
        "incident 'd': monitor 'churn' is not split by field 'country': there is none",
    ]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
INCIDENTS = st.builds(
    lambda name, begin, length, monitor, segment: Incident(
        name, begin, None if length is None else begin + length, monitor, segment or None
    ),
    TEXTS,
    st.integers(0, 10**13),
    st.none() | st.integers(0, 10**9),
    st.none() | TEXTS,
    st.dictionaries(TEXTS, st.none() | TEXTS, max_size=2),
)


@given(st.lists(INCIDENTS, min_size=1, max_size=5))
def test_every_form_says_the_same(tmp_path_factory: pytest.TempPathFactory, incidents: list[Incident]) -> None:
    """What is written comes back, in order of its begin, whichever form it is written in."""
    folder = tmp_path_factory.mktemp("truth")
    entries = [
        {
            "from": rfc3339(each.from_ms),
            "to": each.to_ms,
            "name": each.name,
            "monitor": each.monitor,
            "segment": each.segment,
        }
        for each in incidents
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(entries[0]))
    writer.writeheader()
    writer.writerows({**each, "segment": orjson.dumps(each["segment"] or {}).decode()} for each in entries)
    content = {
        "truth.jsonl": "\n".join(orjson.dumps(each).decode() for each in entries),
        "truth.json": orjson.dumps(entries).decode(),
        "truth.yaml": "".join(f"- {orjson.dumps(each).decode()}\n" for each in entries),
        "truth.csv": table.getvalue(),
    }

    expected = sorted(incidents, key=lambda each: each.from_ms)
    for name, text in content.items():
        assert load_truth(written(folder, name, text)) == expected, name
