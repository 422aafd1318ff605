"""`streamguard handle`: a sample by each handler, or by those named, and what the exit code says."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from streamguard.cli import main
from tests.handlers.samples import Server, reply

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `streamguard handle` with these handlers: the exit code, the lines, and what is said of errors."""

    def handle(handlers: list[dict[str, Any]], *options: str) -> tuple[int, list[str], str]:
        settings = {
            "log": {"kind": "embedded", "path": str(tmp_path / "log.db")},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
            "handlers": handlers,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["streamguard", "handle", str(path), *options])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        code = caught.value.code or 0
        assert isinstance(code, int)
        return code, said.out.splitlines(), said.err

    return handle


def kept(tmp_path: Path, name: str = "kept", **settings: Any) -> dict[str, Any]:
    """A handler that appends to a file."""
    return {"name": name, "type": "file", "path": str(tmp_path / f"{name}.jsonl"), **settings}


def test_a_sample_is_delivered(run: Run, tmp_path: Path) -> None:
    """Whatever the handler would be told of, and without a log."""
    with Server(reply(204)) as server:
        hook = {"name": "hook", "type": "webhook", "url": server.url, "match": {"kind": ["no_data"]}}
        assert run([hook, kept(tmp_path)], "--test") == (0, ["hook (webhook): delivered", "kept (file): delivered"], "")
    (line,) = (tmp_path / "kept.jsonl").read_bytes().splitlines()
    assert orjson.loads(line) == orjson.loads(server.requests[0].body)["data"]
    assert not (tmp_path / "log.db").exists()


def test_a_failure_is_told_and_the_others_are_tried(run: Run, tmp_path: Path) -> None:
    """By the exit code as well."""
    with Server(reply(404, b"no such hook")) as server:
        hook = {"name": "hook", "type": "webhook", "url": server.url}
        code, lines, _ = run([hook, kept(tmp_path)], "--test")
    assert code == 1
    assert lines == [
        f"hook (webhook): FAILED: {server.where} answered 404: no such hook",
        "kept (file): delivered",
    ]


def test_only_those_named_are_tried(run: Run, tmp_path: Path) -> None:
    """Several may be named."""
    handlers = [kept(tmp_path, name) for name in ("a", "b", "c")]
    options = ("--test", "--handler", "c", "--handler", "a")
    assert run(handlers, *options) == (0, ["a (file): delivered", "c (file): delivered"], "")


@pytest.mark.parametrize("options", [("--test",), ()])
def test_a_handler_that_there_is_not(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Is told with those that there are."""
    code, lines, error = run([kept(tmp_path)], *options, "--handler", "hook")
    assert (code, lines) == (2, [])
    assert "--handler: there is no 'hook'; there is 'kept'" in error


def test_no_handlers_at_all(run: Run) -> None:
    """There is nothing to run."""
    code, lines, error = run([], "--test")
    assert (code, lines) == (2, [])
    assert "there are no handlers in the configuration: see docs/handlers.md" in error


def test_what_is_wrong_at_start_is_told(run: Run, tmp_path: Path) -> None:
    """As a sentence, and the others are tried."""
    lost = kept(tmp_path, "lost", path="/nowhere/alerts.jsonl")
    code, lines, _ = run([lost, kept(tmp_path)], "--test")
    assert code == 1
    assert lines == ["lost (file): FAILED: handler 'lost': there is no directory '/nowhere'", "kept (file): delivered"]


def test_a_test_is_taken_for_one_and_leaves_nothing_open(run: Run, tmp_path: Path) -> None:
    """Each time it has another ID; what it opens it closes; a retraining is not started by the way."""
    with Server(reply(202)) as server:
        duty = {"name": "duty", "type": "pagerduty", "url": server.url, "routing_key": "k" * 20}
        again = {"name": "again", "type": "retrain", "command": ["false"]}
        code, lines, _ = run([duty, kept(tmp_path), again], "--test")
        assert code == 0
        assert lines[2].startswith("again (retrain): not tried, since it would start a retraining")
        run([kept(tmp_path)], "--test")
    events = [orjson.loads(request.body) for request in server.requests]
    assert [each["event_action"] for each in events] == ["trigger", "resolve"]
    one, other = (orjson.loads(line) for line in (tmp_path / "kept.jsonl").read_bytes().splitlines())
    assert one["id"] != other["id"]
    assert one["monitor"] == "test"
    assert one["look_first"] == ["this is a test of a handler: nothing is wrong"]
