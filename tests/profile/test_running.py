"""`streamguard profile build` and `show`: what they print, write and refuse."""

from pathlib import Path

import orjson
import pytest

from streamguard.cli import app
from streamguard.errors import ConfigError
from streamguard.profile import Profile
from streamguard.profile.building import Asked
from streamguard.profile.running import positive_of, run_build, run_show

ROWS = [
    {
        "age": 20 + number % 50,
        "[bold]plan": "free\x1b[2J",
        "flag": number % 2 == 0,
        "note": f"Order {number}",
        "prediction": "yes" if number % 3 else "no",
        "label": "yes" if number % 4 else "no",
        "score": 0.75,
    }
    for number in range(200)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Training data."""
    path = tmp_path / "training.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS))
    return path


def test_a_profile_is_built_and_shown(data: Path, tmp_path: Path) -> None:
    """Every part of it; names and values of the data are text, whatever brackets or escapes they have."""
    lines: list[str] = []
    out = tmp_path / "profile.json"
    asked = Asked(
        text=["note"], label="label", prediction="prediction", score="score", positive="yes", model="m", version="2"
    )
    run_build([data], asked, out, lines.append)
    assert lines == ["note: [bold]plan: has one value only.", f"200 rows, 4 features: {out}"]

    lines.clear()
    run_show(out, lines.append, is_json=False)
    assert lines[0] == "training of m 2: 200 rows"
    assert [line.split() for line in lines if line.startswith(("age", "[bold]plan", "(score)"))] == [
        ["[bold]plan", "text", "0.00%", "1", *"-----", "free\\x1b[2J", "200"],
        ["age", "integer", "0.00%", "50", "20", "44.25", "69", "44.5", "14.4309", "-"],
        ["(score)", "number", "0.00%", "~1", "0.75", "0.75", "0.75", "0.75", "0", "-"],
    ]
    assert "predictions: 200 with a label, 41.50% differ from their labels, 0 without" in lines
    assert any(line.startswith("calibration: expected error 0.0000 over 200 scores") for line in lines)
    assert lines[-1] == "note: [bold]plan: has one value only."


def test_json_is_what_is_in_the_file(data: Path, tmp_path: Path) -> None:
    """For programs."""
    lines: list[str] = []
    out = tmp_path / "profile.json"
    run_build([data], Asked(), out, lines.append)
    run_show(out, lambda text: lines.append(f"{text}\n"), is_json=True)

    assert lines[-1].encode() == out.read_bytes()
    assert Profile.load(out).name == "training"


def test_what_cannot_be_written_is_said_before_the_work(data: Path, tmp_path: Path) -> None:
    """And a profile that is there already stays whole until the next one is."""
    with pytest.raises(ConfigError, match=r"-o .*nowhere/p\.json: cannot be written there: No such file"):
        run_build([data], Asked(), tmp_path / "nowhere" / "p.json", print)
    (tmp_path / "p.json").mkdir()
    with pytest.raises(ConfigError, match=r"p\.json: cannot be written: Is a directory"):
        run_build([data], Asked(), tmp_path / "p.json", print)


def test_progress_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for so many rows where there is no terminal."""
    monkeypatch.setattr("streamguard.profile.running._LINE_ROWS", 100)
    run_build([data], Asked(), tmp_path / "p.json", print)

    assert capsys.readouterr().err == "100% 200 rows\n"


def test_a_terminal_gets_a_bar(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which leaves nothing behind."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run_build([data], Asked(), tmp_path / "p.json", print)

    assert Profile.load(tmp_path / "p.json").rows == 200


@pytest.mark.parametrize(
    ("text", "label"), [(None, None), ("1", 1), ("true", True), ("yes", "yes"), ('"1"', "1"), ("null", "null")]
)
def test_a_label_is_what_it_looks_like(text: str | None, label: object) -> None:
    """A number, true or false, else text."""
    assert positive_of(text) == label
    assert type(positive_of(text)) is type(label)


def test_the_command_line_has_all_of_it(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options become what Python takes."""
    out = tmp_path / "p.json"
    options = ["--text", "note", "--leave-out", "flag", "--label", "label", "--prediction", "prediction"]
    more = ["--score", "score", "--positive", "yes", "--name", "n", "--model", "m", "--version", "3"]
    app(["profile", "build", "--from", str(data), *options, *more, "-o", str(out)], standalone_mode=False)
    app(["profile", "show", str(out)], standalone_mode=False)
    app(["profile", "show", str(out), "--json"], standalone_mode=False)

    found = Profile.load(out)
    assert (found.name, found.model, found.version, found.left_out) == ("n", "m", "3", {"flag": "left out"})
    assert found.outcome is not None
    assert found.features["note"].text is not None
    assert "n of m 3: 200 rows" in capsys.readouterr().out
