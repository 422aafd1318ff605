"""What is said about a wrong configuration: what, where, with which value, and the way out."""

import os
from pathlib import Path

import pytest

from streamguard.config import parse
from streamguard.errors import ConfigError
from tests.config_files import SMALL, only_problem, problems, secured, write

GOLDEN = Path(__file__).parent / "golden" / "config_messages.txt"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine happens to have set must not decide a test."""
    for name in [name for name in os.environ if name.startswith("STREAMGUARD_")]:
        monkeypatch.delenv(name)


def cases() -> list[tuple[str, str, str, str]]:
    """The golden file: a name, the text to replace, its replacement, and the message."""
    blocks = GOLDEN.read_text(encoding="utf-8").split("\n\n")[1:]
    return [tuple(line[2:].replace("\\n", "\n") for line in block.splitlines()) for block in blocks]  # type: ignore[misc]


@pytest.mark.parametrize(("old", "new", "message"), [pytest.param(*rest, id=name) for name, *rest in cases()])
def test_a_wrong_file_is_told_what_where_and_how_to_mend_it(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message is all that a user sees, so that it must be enough."""
    assert old in SMALL

    assert problems(write(tmp_path, SMALL.replace(old, new)))[0] == message


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """A file with five mistakes must not take five attempts, nor tell them in a random order."""
    text = SMALL.replace("after: 2h", "aftr: 2h").replace("8}", "-8}") + "logging: {level: loud}\nalert: {}\n"

    assert problems(write(tmp_path, text)) == [
        "streamguard.yaml:2: join.after is missing: how much later than its prediction a label may be",
        "streamguard.yaml:2: unknown setting join.aftr; did you mean join.after?",
        "streamguard.yaml:5: monitors[0].threshold.max_mismatch_percent must be > 0, got -8",
        "streamguard.yaml:6: logging.level must be one of debug, info, warning, error, got 'loud'",
        "streamguard.yaml:7: unknown setting alert; did you mean alerts?",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "streamguard.yaml: the file is empty; start from a file in configs/"),
        (b"# nothing\n", "streamguard.yaml: the file is empty; start from a file in configs/"),
        (b"- a\n", "streamguard.yaml: must be a mapping of settings, such as log, join and monitors"),
        (b"a: \xff\n", "streamguard.yaml: not UTF-8 text: byte 3"),
        (
            b"a: \x00\n",
            "streamguard.yaml: not valid YAML: character U+0000, special characters are not allowed",
        ),
        (b"[" * 1000, "streamguard.yaml: not valid YAML: nested too deeply"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """Whatever is in the file, the answer is a sentence and never a traceback."""
    path = tmp_path / "streamguard.yaml"
    path.write_bytes(content)

    assert only_problem(path) == problem


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """A wrong path is the most common mistake of all."""
    assert only_problem(tmp_path / "no.yaml") == "no.yaml: cannot be read: No such file or directory"


def test_a_list_that_holds_itself_ends(tmp_path: Path) -> None:
    """YAML can describe endless data, and reading it must end all the same."""
    assert only_problem(write(tmp_path, SMALL + "labels: &a {fields: *a}\n")) == (
        "streamguard.yaml:6: unknown setting labels.fields.fields; did you mean predictions.fields or labels.fields?"
    )


def test_parse_tells_the_same_without_lines() -> None:
    """A configuration that a notebook builds deserves the same words."""
    with pytest.raises(ConfigError) as caught:
        parse({"log": {"kind": "embedded", "pth": "x"}, "join": {"after": "2h"}, "monitors": []})

    assert str(caught.value).splitlines() == [
        "unknown setting log.pth; did you mean log.path?",
        "monitors needs at least one monitor",
    ]


@pytest.mark.parametrize(
    ("sasl", "problem"),
    [
        (
            "password: hunter2, password_file: /dev/null",
            "log.security.sasl.password and password_file are both set; keep one",
        ),
        (
            "password_file: /nowhere/pw",
            "log.security.sasl.password_file cannot be read: '/nowhere/pw': No such file or directory",
        ),
        ("password: 1234567", "log.security.sasl.password must be text (put it in quotes)"),
        ("password: [hunter2]", "log.security.sasl.password must be text"),
        (
            "passwort: hunter2",
            "unknown setting log.security.sasl.passwort; did you mean log.security.sasl.password?",
        ),
    ],
)
def test_a_wrong_secret_is_not_shown(tmp_path: Path, sasl: str, problem: str) -> None:
    """What is wrong with a password is told where everyone can read it."""
    told = problems(write(tmp_path, secured(sasl)))

    assert told[0] == f"streamguard.yaml:1: {problem}"
    assert not any("hunter2" in line or "1234567" in line for line in told)
