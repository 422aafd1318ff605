"""The commands that a newcomer runs first."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def streamguard(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "streamguard.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Where the demo's log is, and what it printed."""
    directory = tmp_path_factory.mktemp("demo")
    done = streamguard("demo", "--once", "--data", directory)
    assert done.returncode == 0, done.stderr
    return directory, done.stdout.splitlines()


@pytest.fixture(scope="module")
def config(demo: tuple[Path, list[str]]) -> Path:
    """What the demo has run, which it leaves beside its log."""
    return demo[0] / "demo.yaml"


def test_the_demo_tells_its_story(demo: tuple[Path, list[str]]) -> None:
    """What it reads, the alert when it comes, and an account in which nothing is missing."""
    lines = demo[1]
    alarm = next(index for index, line in enumerate(lines) if line.startswith("ALERT raised"))
    end = lines.index("false alarms before 0")

    assert alarm < end
    assert "preprocessing, " in lines[alarm]
    assert lines[end - 2].startswith("without labels      2026-01-06T16:06")
    assert lines[end - 1].startswith("by labels           2026-01-06T16:19")
    assert lines[end + 1].startswith("predictions: 30,000 consumed = 29,118 matched")
    assert lines[-1].strip().startswith("streamguard run")


def test_alerts_are_printed_as_json_lines(demo: tuple[Path, list[str]], config: Path) -> None:
    """Whoever pipes them into another program gets one object a line, and may ask from a time on."""
    every = [json.loads(line) for line in streamguard("alerts", config).stdout.splitlines()]
    later = streamguard("alerts", config, "--from", every[-1]["event_time"]).stdout.splitlines()

    assert len(every) == sum(line.startswith("ALERT") for line in demo[1])
    expected = [each["id"] for each in every if each["event_time"] >= every[-1]["event_time"]]
    assert [json.loads(line)["id"] for line in later] == expected
    assert 0 < len(expected) < len(every)


def test_a_time_that_is_none_is_a_usage_error(config: Path) -> None:
    """The message shows how a time is written."""
    done = streamguard("alerts", config, "--from", "yesterday")

    assert done.returncode == 2
    assert done.stderr == "error: --from: time 'yesterday' is not RFC 3339, such as 2026-01-31T12:00:00Z\n"


def test_the_story_can_be_sent_to_topics_and_read_from_them(
    tmp_path: Path, demo: tuple[Path, list[str]], config: Path
) -> None:
    """All at once instead of slice by slice, and the same alerts."""
    path = tmp_path / "config.yaml"
    path.write_text(config.read_text(encoding="utf-8").replace(str(demo[0] / "demo.db"), str(tmp_path / "demo.db")))

    refused = streamguard("demo", "--to", path)
    assert refused.returncode == 3
    assert "no topic" in refused.stderr
    assert streamguard("run", path, "--until-end").returncode == 0
    assert streamguard("demo", "--to", path).returncode == 0
    run = streamguard("run", path, "--until-end")
    assert run.returncode == 0, run.stderr
    assert streamguard("alerts", path).stdout == streamguard("alerts", config).stdout
