"""The publisher: what it sends, when, that it lets nothing escape, and that it outlives a fork."""

import os
import select
import signal
import sys
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

import streamguard
from streamguard.core.environment.facts import read
from streamguard.errors import ConfigError
from streamguard.fingerprints import publisher as module
from streamguard.fingerprints.gpus import gpus
from streamguard.fingerprints.hashing import Hashes
from streamguard.fingerprints.packages import Packages
from streamguard.fingerprints.turns import Turn
from tests.contract.schemas import wrong

WAIT_S = 20


def first(**arguments: Any) -> dict[str, Any]:
    """The first record that is published."""
    records: Queue[bytes] = Queue()
    with streamguard.fingerprint(sink=records.put, **arguments):
        found: dict[str, Any] = orjson.loads(records.get(timeout=WAIT_S))
    return found


def test_what_is_sent_follows_the_contract_and_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything that can be said."""
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "\udcff" + "x" * 5000)
    record = first(
        instance="pod-7",
        model="fraud",
        version="7",
        preprocessing="2026-01",
        model_files=[Path(__file__), "/no/such.onnx", "a\0b"],
        facts={"batch": 32, "flag": True, "url": "http://u:p@h/", "none": None, "share": 0.5},
    )
    assert wrong("fingerprint-1.schema.json", record) == []
    assert (record["instance"], record["model"], record["version"]) == ("pod-7", "fraud", "7")
    assert record["variables"]["OMP_NUM_THREADS"] == "4"
    assert record["variables"]["CUDA_VISIBLE_DEVICES"] is None
    assert record["packages"]["scikit-learn" if "scikit-learn" in record["packages"] else "pydantic"]
    assert record["model_files"]["such.onnx"] is None
    assert record["facts"]["url"] == "http://(hidden)@h/"
    assert read(record).facts["fact batch"] == "32"


def test_the_instance_is_the_host_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes sets it."""
    monkeypatch.setenv("HOSTNAME", "fraud-7d9f6c5b4-x2x7q")
    assert first(packages=False)["instance"] == "fraud-7d9f6c5b4-x2x7q"


def test_a_model_file_is_hashed_once_until_it_changes(tmp_path: Path) -> None:
    """A record follows at once when the hash is known. The steps say how long to wait between them."""
    file = tmp_path / "model.onnx"
    file.write_bytes(os.urandom(3 << 20))
    hashes = Hashes({"model": file, "gone": tmp_path / "gone"})
    assert (hashes.known()["model"] or {})["sha256"] is None
    assert all(pause > 0.1 for pause in hashes.steps())
    assert (hashes.known()["model"] or {})["sha256"] == sha256(file.read_bytes()).hexdigest()
    assert hashes.known()["gone"] is None
    assert hashes.count == 1
    assert list(hashes.steps()) == []
    file.write_bytes(b"another")
    assert (hashes.known()["model"] or {})["sha256"] is None
    list(hashes.steps())
    assert (hashes.known()["model"] or {})["sha256"] == sha256(b"another").hexdigest()
    records: Queue[bytes] = Queue()
    with streamguard.fingerprint(sink=records.put, model_files={"model": file}, packages=False):
        digests = [orjson.loads(records.get(timeout=WAIT_S))["model_files"]["model"]["sha256"] for _ in range(2)]
    assert digests == [None, sha256(b"another").hexdigest()]


def test_packages_are_those_on_the_path_and_the_first_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for again when a directory changes; half a distribution is passed over."""
    (tmp_path / "Zz.Example-9.9.dist-info").mkdir()
    (tmp_path / "Zz.Example-9.9.dist-info/METADATA").write_text("Name: Zz.Example\nVersion: 9.9\n")
    (tmp_path / "broken-1.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    packages = Packages()
    assert packages.installed()["zz-example"] == "9.9"
    assert packages.installed() is packages.installed()
    (tmp_path / "other-1.dist-info").mkdir()
    (tmp_path / "other-1.dist-info/METADATA").write_text("Name: other\nVersion: 1\n")
    os.utime(tmp_path, (1, 1))
    assert packages.installed()["other"] == "1"


def test_what_fails_is_logged_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reaches the process that serves; when it succeeds that is said, too."""
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    monkeypatch.setattr(module, "_SHARE", 1e6)
    tries: Queue[int] = Queue()

    def sink(_: bytes) -> None:
        tries.put(1)
        if tries.qsize() < 4:
            raise SystemError("no such broker")

    with capture_logs() as logs, streamguard.fingerprint(sink=sink, packages=False, every="1s"):
        deadline = threading.Event()
        while tries.qsize() < 5 and not deadline.wait(0.01):
            pass
    assert [each["event"] for each in logs] == ["fingerprint_failed", "fingerprint_published"]
    assert logs[0]["error"] == "SystemError: no such broker"


def test_of_the_processes_of_one_instance_one_publishes() -> None:
    """And the next when that one is done."""
    one, other = Turn("the same"), Turn("the same")
    assert (one.take(), one.take(), other.take(), Turn("another").take()) == (True, True, False, True)
    one.leave()
    assert other.take()
    other.leave()


def read_some(file: int) -> bytes:
    """What comes through a pipe; fails where nothing does."""
    ready, _, _ = select.select([file], [], [], WAIT_S)
    assert ready
    return os.read(file, 1 << 20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_stands_by_and_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As workers of gunicorn do that were forked from a master which publishes."""
    monkeypatch.setattr(module, "_STAND_BY_S", 0.05)
    reader, writer = os.pipe()

    def sink(value: bytes) -> None:
        os.write(writer, value)

    with streamguard.fingerprint(sink=sink, packages=False, every="1h") as handle:
        assert orjson.loads(read_some(reader))["process"]["pid"] == os.getpid()
        child = os.fork()
        if child == 0:
            threading.Event().wait(WAIT_S)
            os._exit(0)
        ready, _, _ = select.select([reader], [], [], 0.3)
        assert not ready
        handle.stop()
        assert orjson.loads(read_some(reader))["process"]["pid"] == child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


def test_stopping_ends_the_thread() -> None:
    """Twice is as good as once."""
    records: Queue[bytes] = Queue()
    handle = streamguard.fingerprint(sink=records.put, packages=False)
    records.get(timeout=WAIT_S)
    handle.stop()
    handle.stop()
    assert "streamguard-fingerprint" not in [thread.name for thread in threading.enumerate()]
    with suppress(Empty):
        raise AssertionError(records.get_nowait())


class DriverError(Exception):
    """As NVML raises."""


def nvml(**functions: Callable[..., Any]) -> types.ModuleType:
    """A binding of these functions."""
    found = types.ModuleType("pynvml")
    memory = types.SimpleNamespace(total=24 << 30, used=1 << 30)
    usual: dict[str, Any] = {
        "NVMLError": DriverError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda place: place,
        "nvmlSystemGetDriverVersion": lambda: b"550.54.15",
        "nvmlDeviceGetName": lambda _: "NVIDIA L4",
        "nvmlDeviceGetMemoryInfo": lambda _: memory,
    }
    found.__dict__.update({**usual, **functions})
    return found


def test_gpus_are_asked_for_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no driver, or no binding, nothing is known."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    found = gpus()
    assert found is not None
    assert (found["driver"], len(found["devices"])) == ("550.54.15", 2)
    assert found["devices"][0] == {"name": "NVIDIA L4", "memory_total": 24 << 30, "memory_used": 1 << 30}

    def fails(*_: object) -> None:
        raise DriverError

    for name in ("nvmlInit", "nvmlDeviceGetName"):
        monkeypatch.setitem(sys.modules, "pynvml", nvml(**{name: fails}))
        assert gpus() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus() is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "needs one of bootstrap_servers, log, config and sink, got none"),
    ({"sink": print, "config": "a.yaml"}, "got sink and config"),
    ({"bootstrap_servers": "nowhere"}, "log.bootstrap_servers must be servers as host:port, got 'nowhere'"),
    ({"bootstrap_servers": "a:1", "security": {"protocol": "SASL_SSL"}}, "log.security.sasl is missing"),
    ({"log": {"kind": "embedded"}, "security": {}}, "security goes with bootstrap_servers"),
    ({"log": {"kind": "embedded"}, "topic": "a b"}, "topic 'a b' is no name"),
    ({"config": "/no/such.yaml"}, "/no/such.yaml"),
    ({"sink": print, "every": "5"}, "every: "),
    ({"sink": print, "every": "10ms"}, "every must be 1s or more"),
    ({"sink": print, "instance": " "}, "instance must be text"),
    ({"sink": print, "model": 7}, "model must be text"),
    ({"sink": print, "model_files": ["/a/m", "/b/m"]}, "two files of one name"),
    ({"sink": print, "facts": {"a": float("nan")}}, "fact 'a' must be"),
    ({"sink": print, "facts": {"a": 1 << 70}}, "fact 'a' must be"),
    ({"sink": print, "facts": {"a": ["b"]}}, "fact 'a' must be"),
    ({"sink": print, "variables": [""]}, "variables must be text"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], why: str) -> None:
    """With what is wrong, before anything begins."""
    with pytest.raises(ConfigError) as error:
        streamguard.fingerprint(**arguments)
    assert why in str(error.value)


def test_a_password_is_in_no_message() -> None:
    """Of what is refused."""
    security = {"protocol": "SASL_SSL", "sasl": {"mechanism": "PLAIN", "password": "hunter2"}}
    with pytest.raises(ConfigError) as error:
        streamguard.fingerprint(bootstrap_servers="a:1", security=security)
    assert "hunter2" not in str(error.value)
