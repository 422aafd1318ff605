"""The container files, checked without a container engine: what they name exists and agrees.

What only an engine can tell (images, mounts, the start order) is not tested here; compose.yaml says so.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamguard.config import Http
from streamguard.worker.endpoints import serving
from streamguard.worker.status import Board
from streamguard.worker.watchdog import Limits

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
CONFIG_IN_CONTAINER = "/etc/streamguard/config.yaml"


def loaded(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


COMPOSE = loaded(DOCKER / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, comments dropped and continued lines joined."""
    lines = (DOCKER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def last_stage() -> dict[str, str]:
    """The instructions that describe the image: those of the last stage, where each counts once."""
    everything = instructions()
    start = max(index for index, (word, _) in enumerate(everything) if word == "FROM")
    return dict(everything[start:])


def commands() -> dict[str, list[str]]:
    """Every command line of streamguard in these files, by where it stands."""
    return {name: SERVICES[name]["command"] for name in OURS} | {"CMD": json.loads(last_stage()["CMD"])}


def is_healthy(port: int) -> bool:
    """What the image's health check says of a worker on this port."""
    _, _, health = last_stage()["HEALTHCHECK"].partition("CMD")
    program, *arguments = json.loads(health)
    assert program == "python"
    environment = os.environ | {"STREAMGUARD_HTTP__PORT": str(port)}
    return (
        subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False).returncode == 0
    )


def split(command: list[str]) -> tuple[list[str], list[str]]:
    """The subcommand's words, which come before the first path or option, and the options."""
    words: list[str] = []
    for word in command:
        if word.startswith(("-", "/")):
            break
        words.append(word)
    return words, [word for word in command if word.startswith("--")]


@pytest.mark.parametrize("where", [*OURS, "CMD"])
def test_each_command_is_one_that_streamguard_has(where: str) -> None:
    """A renamed subcommand or option would otherwise be found by the first person to start a container."""
    pytest.importorskip("streamguard.cli")
    words, options = split(commands()[where])
    shown = subprocess.run(
        [sys.executable, "-c", "from streamguard.cli import main; main()", *words, "--help"],
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert words
    assert shown.returncode == 0, shown.stderr
    assert [option for option in options if option not in shown.stdout] == []


def test_every_part_of_the_system_has_a_service() -> None:
    """The walk-through in the README names these."""
    assert set(SERVICES) == {"kafka", "topics", "worker", "traffic", "alerts"}
    assert {name: split(commands()[name])[0] for name in OURS} == {
        "worker": ["run"],
        "traffic": ["demo"],
        "alerts": ["alerts"],
    }


@pytest.mark.parametrize("name", OURS)
def test_what_is_mounted_exists(name: str) -> None:
    """Docker makes an empty directory of a missing source, and the error then names something else."""
    for mount in SERVICES[name]["volumes"]:
        source, target, mode = mount.split(":")

        assert (DOCKER / source).is_file()
        assert (target, mode) == (CONFIG_IN_CONTAINER, "ro")


@pytest.mark.parametrize("name", OURS)
def test_the_config_that_a_command_names_is_the_one_mounted(name: str) -> None:
    """One path is written in two files, which must agree."""
    assert CONFIG_IN_CONTAINER in SERVICES[name]["command"]


@pytest.mark.parametrize("name", OURS)
def test_the_build_finds_its_dockerfile(name: str) -> None:
    """Both paths are relative, the second to the first."""
    build = SERVICES[name]["build"]

    assert (DOCKER / build["context"]).resolve() == ROOT
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()


def test_services_wait_for_services_that_exist() -> None:
    """Nothing starts before the topics are there, and waiting for health needs a health check."""
    for service in SERVICES.values():
        for other, wait in service.get("depends_on", {}).items():
            assert other in SERVICES
            assert wait["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]
    for name in ("worker", "traffic"):
        assert SERVICES[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"


def test_clients_inside_and_outside_find_the_broker() -> None:
    """Each listener is advertised under a name that its clients can resolve, and at the port they use."""
    environment = SERVICES["kafka"]["environment"]
    advertised = dict(one.split("://") for one in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listening = dict(one.split("://") for one in environment["KAFKA_LISTENERS"].split(","))
    inside = loaded(DOCKER / "config.yaml")["log"]["bootstrap_servers"]

    assert inside == advertised["PLAINTEXT"]
    assert inside in SERVICES["topics"]["command"][0]
    assert inside in SERVICES["kafka"]["healthcheck"]["test"]
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1{listening['HOST']}:9092"]
    assert loaded(ROOT / "configs" / "minimal.yaml")["log"]["bootstrap_servers"] == advertised["HOST"]
    assert set(advertised) | {"CONTROLLER"} == set(listening)


def test_the_topics_are_those_of_the_config() -> None:
    """Topics are not created by writing to them here, so a wrong name would stop the demo."""
    config = loaded(DOCKER / "config.yaml")
    script = shlex.split(SERVICES["topics"]["command"][0].replace(";", " ; "))
    start = script.index("in") + 1

    assert script[start : script.index(";")] == [config["predictions"]["topic"], config["labels"]["topic"]]


def test_the_demo_watches_the_same_in_containers() -> None:
    """The same stream is judged by the same monitors, or the two demos would tell different stories."""
    here, there = loaded(DOCKER / "config.yaml"), loaded(ROOT / "configs" / "demo.yaml")

    for section in ("predictions", "labels", "monitors", "alerts"):
        assert here[section] == there[section]


def test_the_image_runs_as_nobody_in_particular() -> None:
    """A number, since Kubernetes' runAsNonRoot refuses a name; and the user exists in the image."""
    user = last_stage()["USER"]

    assert int(user) >= 10_000
    assert f"--uid {user} " in last_stage()["RUN"]


def test_the_image_asks_its_worker_whether_it_lives() -> None:
    """A health check that tested nothing would be worse than none."""
    time_s = 0.0
    board = Board(lambda: time_s)
    with serving(Http(port=0), board, Limits(60, 300)) as port:
        assert port is not None
        assert is_healthy(port)
        time_s = 1000.0
        assert not is_healthy(port)
    assert not is_healthy(port)
    assert last_stage()["ENTRYPOINT"] == '["streamguard"]'


def test_the_port_is_the_same_everywhere() -> None:
    """Where the image says 8080, the configuration does, and the compose file publishes that to this machine."""
    http = loaded(DOCKER / "config.yaml")["http"]

    assert last_stage()["ENV"].endswith(f"STREAMGUARD_HTTP__PORT={http['port']}")
    assert last_stage()["EXPOSE"] == str(http["port"])
    assert http["host"] == "0.0.0.0"  # noqa: S104 - of a container
    assert SERVICES["worker"]["ports"] == [f"127.0.0.1:{http['port']}:{http['port']}"]


def test_what_the_image_copies_exists_and_is_let_in() -> None:
    """The build context leaves out all that is not named, so a new COPY needs a line there too."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.removeprefix("./")
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }

    assert "*" in lines
    assert copied == allowed
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []
