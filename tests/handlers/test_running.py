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
    """As a sentence; nothing is delivered then."""
    code, _, error = run([kept(tmp_path, path="/nowhere/alerts.jsonl")], "--test")
    assert code == 2
    assert "handler 'kept': there is no directory '/nowhere'" in error
