"""A worker process on an embedded log, asked over HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streamguard.config import Config, Http, parse
from streamguard.worker.endpoints import PortError, serving
from streamguard.worker.status import Board
from streamguard.worker.watchdog import Limits
from tests.stopping import stop
from tests.worker.helpers import config, traffic, write

COMMAND = [sys.executable, "-c", "from streamguard.cli import main; main()", "run"]
PATIENCE_S = 30.0
LIMITS = Limits(60, 300)


@dataclass(frozen=True, slots=True)
class Served:
    """A worker that runs, and where it answers."""

    process: "subprocess.Popen[bytes]"
    port: int

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body."""
        return get(self.port, path, method)

    def json(self, path: str) -> dict[str, Any]:
        """The body, read."""
        found: dict[str, Any] = orjson.loads(self.get(path)[1])
        return found

    def samples(self) -> dict[str, float]:
        """The sums of all samples by name."""
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1].decode()):
            for each in family.samples:
                sums[each.name] = sums.get(each.name, 0) + each.value
        return sums


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask this machine."""
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", method=method), timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what the worker will come to."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def saved(settings: Config, directory: Path) -> Path:
    """The configuration as a file."""
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json", by_alias=True)), encoding="utf-8")
    return path


@contextmanager
def running(path: Path) -> Iterator[Served]:
    """A worker with a free port, which its log names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGUARD_")}
    said = path.with_suffix(".log")
    with said.open("wb") as errors:
        process = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.DEVNULL, stderr=errors, env=environment)
    try:
        opened: list[dict[str, Any]] = []

        def is_open() -> bool:
            opened[:] = [orjson.loads(line) for line in said.read_bytes().splitlines() if b"http_opened" in line]
            return bool(opened)

        until(is_open)
        yield Served(process, opened[0]["port"])
    finally:
        process.kill()
        process.wait()


def test_a_worker_answers_while_it_works(tmp_path: Path) -> None:
    """What is told agrees with the records that were written."""
    settings = config(tmp_path, http={"port": 0})
    write(settings, traffic())
    with running(saved(settings, tmp_path)) as served:
        until(lambda: served.get("/readyz")[0] == 200)
        until(lambda: served.samples()["streamguard_records_total"] == 3000)
        until(lambda: served.samples()["streamguard_outcomes_released_total"] > 1000)
        found, ready = served.samples(), served.json("/readyz")

        assert served.get("/livez")[0] == 200
        assert (ready["inputs"], ready["monitors"]["m"]["partition"]) == ([0, 1], 0)
        assert ready["monitors"]["m"]["waits_for"][0]["source"] in {0, 1}
        assert found["streamguard_alerts_total"] >= 1
        assert found["streamguard_outcomes_held"] + found["streamguard_outcomes_released_total"] == 1500
        assert found["streamguard_commit_seconds_count"] > 0
        assert abs(found["streamguard_last_commit_timestamp_seconds"] - time.time()) < 60
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE_S) == 0


def test_a_worker_that_comes_back_tells_the_same_totals(tmp_path: Path) -> None:
    """Counts are of the group, not of the process; what it did itself begins at 0."""
    settings = config(tmp_path, http={"port": 0})
    write(settings, traffic())
    path = saved(settings, tmp_path)
    with running(path) as served:
        until(lambda: served.get("/readyz")[0] == 200)
        until(lambda: served.samples()["streamguard_records_total"] == 3000)
    with running(path) as served:
        until(lambda: served.get("/readyz")[0] == 200)

        assert served.samples()["streamguard_records_total"] == 3000
        assert "streamguard_alerts_total" not in served.samples()


def test_a_stopped_worker_is_not_live(tmp_path: Path) -> None:
    """Nor does it answer: a probe must see that, too."""
    settings = config(tmp_path, http={"port": 0})
    with running(saved(settings, tmp_path)) as served:
        until(lambda: served.get("/livez")[0] == 200)
        stop(served.process)
        with pytest.raises(TimeoutError), urlopen(f"http://127.0.0.1:{served.port}/livez", timeout=0.5):
            pass
        served.process.send_signal(signal.SIGCONT)
        until(lambda: served.get("/livez")[0] == 200)


def test_no_port_unless_asked_for() -> None:
    """Several workers may share one machine and one file."""
    with serving(Http(), Board(time.monotonic), LIMITS) as port:
        assert port is None


def test_only_this_machine_is_answered_unless_told_otherwise() -> None:
    """The port asks nobody who they are."""
    with serving(Http(port=0), Board(time.monotonic), LIMITS) as port, closing(socket.socket()) as client:
        assert port is not None
        assert client.connect_ex(("127.0.0.2", port)) != 0
        assert get(port, "/livez")[0] == 200


def test_the_port_is_free_again_at_the_end() -> None:
    """A worker that is started again finds it."""
    with serving(Http(port=0), Board(time.monotonic), LIMITS) as port:
        pass
    with serving(Http(port=port), Board(time.monotonic), LIMITS) as again:
        assert again == port


def test_ipv6_will_do() -> None:
    """A cluster may have nothing else."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with (
        serving(Http(host="::1", port=0), Board(time.monotonic), LIMITS) as port,
        urlopen(f"http://[::1]:{port}/livez", timeout=10) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_paths_are_answered_with_those_there_are(method: str) -> None:
    """Whoever mistypes one sees the three; HEAD tells the length and no more."""
    with serving(Http(port=0), Board(time.monotonic), LIMITS) as port:
        assert port is not None
        status, body = get(port, "/healthz?x=1", method)
        known = {path: get(port, f"{path}?x=1", method) for path in ("/livez", "/readyz", "/metrics")}

    is_get = method == "GET"
    assert (status, body) == (404, b"no '/healthz' here; there is /livez /readyz /metrics\n" if is_get else b"")
    assert {path: found for path, (found, _) in known.items()} == {"/livez": 200, "/readyz": 503, "/metrics": 200}
    assert all(bool(found) == is_get for _, found in known.values())


def test_head_is_answered_without_a_body() -> None:
    """What came after the headers would be taken for the next answer."""
    with (
        serving(Http(port=0), Board(time.monotonic), LIMITS) as port,
        socket.create_connection(("127.0.0.1", port or 0), timeout=10) as client,
    ):
        client.send(b"HEAD /livez HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_a_silent_client_keeps_nobody_waiting() -> None:
    """Each request has a thread of its own."""
    with (
        serving(Http(port=0), Board(time.monotonic), LIMITS) as port,
        socket.create_connection(("127.0.0.1", port or 0)) as silent,
    ):
        silent.send(b"GET /livez HTT")
        assert port is not None
        assert get(port, "/livez")[0] == 200


def test_many_silent_clients_take_no_more_than_their_share() -> None:
    """The oldest connection is let go: one client must not use up what the worker needs for its broker."""
    with serving(Http(port=0), Board(time.monotonic), LIMITS) as port, ExitStack() as stack:
        assert port is not None
        address = "127.0.0.1", port
        clients = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(40)]
        assert get(port, "/livez")[0] == 200
        clients[0].settimeout(5)  # a silent one is let go after ten seconds in any case
        assert clients[0].recv(1) == b""
        clients[-1].send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert clients[-1].recv(12) == b"HTTP/1.0 200"


def test_a_port_that_is_taken_is_named() -> None:
    """With the setting to change."""
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(
                PortError, match=rf"http.port: cannot listen on 127.0.0.1:{port}: Address already in use; set"
            ),
            serving(Http(port=port), Board(time.monotonic), LIMITS),
        ):
            pass

    assert PortError.exit_code == 3


def test_a_host_that_is_not_ours_is_named() -> None:
    """It is a mistake in the file like any other."""
    with (
        pytest.raises(PortError, match=r"http.port: cannot listen on 192.0.2.1:0: "),
        serving(Http(host="192.0.2.1", port=0), Board(time.monotonic), LIMITS),
    ):
        pass


def test_a_command_ends_with_3_where_its_port_is_taken(tmp_path: Path) -> None:
    """Before it has touched the log."""
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = config(tmp_path, http={"port": other.getsockname()[1]})
        path = saved(settings, tmp_path)
        done = subprocess.run([*COMMAND, str(path)], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 3
    assert done.stderr.startswith("error: http.port: cannot listen on 127.0.0.1:")
    assert not (tmp_path / "log.db").exists()
    assert parse(settings.model_dump(mode="json", by_alias=True)) == settings
