"""The command line: what it prints, where, and with which exit code."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from streamguard.config import load

CONFIG = """\
log: {kind: kafka, bootstrap_servers: "a:9092,b:9092", group: fraud-monitor}
join: {before: 1m, after: 2h}
monitors:
  - name: fraud
    match: {model: fraud}
    split_by: [version]
    threshold: {max_mismatch_percent: 8.5}
    detectors: [{type: adwin}]
  - {name: all, loss: absolute, severity: info, detectors: [{type: kswin}]}
"""

# As the installed command does, but in any environment that has the package.
COMMAND = [sys.executable, "-c", "from streamguard.cli import main; main()"]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a command, without what this machine has set for streamguard."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGUARD_")}
    return kept | variables


def streamguard(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**variables),
        timeout=60,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A legal configuration."""
    path = tmp_path / "streamguard.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_check_sums_up_what_a_configuration_does(config: Path) -> None:
    """A user sees at a glance whether the file says what was meant, and what it will cost."""
    done = streamguard("config", "check", config)

    assert done.stdout.splitlines() == [
        f"ok: {config}",
        "log: Kafka at a:9092,b:9092, group fraud-monitor",
        "topics: predictions + labels -> streamguard-fraud-monitor-outcomes -> alerts",
        (
            "topics on the side: rejected to streamguard-fraud-monitor-rejected, "
            "state in streamguard-fraud-monitor-state"
        ),
        (
            'monitor fraud: mismatch of predictions with model = "fraud", by version; '
            "threshold 8.5% of 2000, adwin (critical)"
        ),
        "monitor all: absolute of all predictions; kswin (info)",
        (
            "memory: each input partition holds at most 5,000,000 records and 1,024 MiB, "
            "enough for about 344 predictions a second with their labels over 2h1m"
        ),
    ]
    assert (done.stderr, done.returncode) == ("", 0)


def test_check_reads_the_profile_that_a_monitor_names(config: Path, tmp_path: Path) -> None:
    """A worker would be the first to say what is wrong with it."""
    profile = tmp_path / "profile.json"
    profile.write_text("{}", encoding="utf-8")
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["monitors"][0]["data"] = {"profile": str(profile)}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = streamguard("config", "check", config)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {profile}: is no profile: it has no v, or no features. Build it again: streamguard profile build\n"
    )


def test_check_says_which_topic_the_join_reads(config: Path) -> None:
    """And what writes it, where that is not the topic that was named."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["predictions"] = {"topic": "inference-logs", "format": {"type": "kserve"}}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = streamguard("config", "check", config)
    assert done.stdout.splitlines()[2:4] == [
        (
            "rekey: `streamguard rekey` reads predictions (kserve) from inference-logs, and writes"
            " streamguard-fraud-monitor-predictions, which the join reads"
        ),
        "topics: streamguard-fraud-monitor-predictions + labels -> streamguard-fraud-monitor-outcomes -> alerts",
    ]


def test_rekey_without_anything_to_do_is_a_wrong_configuration(config: Path) -> None:
    """It says which settings give it something to do."""
    done = streamguard("rekey", config)
    assert done.returncode == 2
    assert "nothing to write anew" in done.stderr.splitlines()[-1]


def test_check_lists_every_problem_on_stderr(config: Path) -> None:
    """A script tells a wrong configuration by exit code 2, and a person by one line a problem."""
    config.write_text(CONFIG.replace("after:", "aftr:").replace("kswin", "kswim"), encoding="utf-8")
    done = streamguard("config", "check", config)

    assert done.stderr.splitlines() == [
        f"error: {config}:2: join.after is missing: how much later than its prediction a label may be",
        f"error: {config}:2: unknown setting join.aftr; did you mean join.after?",
        (
            f"error: {config}:9: monitors[1].detectors[0].type must be one of budgeted, adwin, kswin, page_hinkley, "
            "ddm, eddm, hddm_a, hddm_w, fhddm, got 'kswim'; did you mean kswin?"
        ),
    ]
    assert (done.stdout, done.returncode) == ("", 2)


def test_show_prints_a_file_that_means_the_same(config: Path, tmp_path: Path) -> None:
    """What is shown is what is in effect, the environment included, and can be kept as a file."""
    done = streamguard("config", "show", config, STREAMGUARD_JOIN__AFTER="3d")
    shown = tmp_path / "shown.yaml"
    shown.write_text(done.stdout, encoding="utf-8")

    assert load(shown).join.after_ms == 3 * 86_400_000
    assert load(shown).monitors == load(config).monitors
    assert (done.stderr, done.returncode) == ("", 0)


def test_schema_is_json() -> None:
    """An editor reads it as it is printed."""
    done = streamguard("config", "schema")

    assert json.loads(done.stdout)["$defs"]["Join"]["required"] == ["after"]
    assert done.returncode == 0


def test_version_is_the_installed_one() -> None:
    """The first question of every bug report."""
    done = streamguard("--version")

    assert done.stdout.startswith("streamguard 0.")
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [["nonsense"], ["config", "check"], ["config", "show", "a", "b"]])
def test_a_wrong_call_exits_with_2(arguments: list[str]) -> None:
    """A script must tell a wrong call from a check that found trouble."""
    done = streamguard(*arguments)

    assert "Usage: " in done.stderr
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize("arguments", [[], ["config"], ["config", "check"], ["config", "show"], ["config", "schema"]])
def test_help_is_plain_where_nobody_looks(arguments: list[str]) -> None:
    """Boxes and colours in a pipe or a log are noise."""
    done = streamguard(*arguments, "--help", FORCE_COLOR="")

    assert done.stdout.startswith("Usage: ")
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert done.returncode == 0


def test_interrupt_exits_with_130(tmp_path: Path) -> None:
    """Ctrl-C is no error to be explained, and a shell must see it as what it is."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    # What a shell runs in the background ignores the signal, and so would its children.
    call = ["env", "--default-signal=INT", *COMMAND, "config", "check", str(pipe)]
    # A FIFO opens for writing once somebody reads it: then the command is at work, and waits for text.
    with (
        subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment()) as process,
        pipe.open("w", encoding="utf-8"),
    ):
        # Again where it came between two instructions, just before the command waits: a person would, too.
        for _ in range(60):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
                break
        told = "" if process.stderr is None else process.stderr.read()

    assert (told, process.returncode) == ("", 130)


def test_a_reader_that_goes_away_is_no_error(config: Path) -> None:
    """`config show | head -1` ends without a traceback."""
    with subprocess.Popen(
        [*COMMAND, "config", "show", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()

    assert told == ""
