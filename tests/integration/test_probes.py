"""`streamguard probe` as a process, on a broker."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from streamguard.config import parse
from streamguard.core.environment.endpoints import Endpoints
from streamguard.logs.opening import open_log
from tests.contract.schemas import wrong
from tests.handlers.samples import Server, reply
from tests.integration.conftest import CLIENTS

pytestmark = pytest.mark.broker

COMMAND = [sys.executable, "-c", "from streamguard.cli import main; main()"]
PATIENCE_S = 60


@pytest.mark.parametrize("client", CLIENTS)
def test_results_come_to_the_topic(broker: str, client: str, tmp_path: Path) -> None:
    """Of a good endpoint and of one that goes away; the judge makes an episode of that."""
    name = f"probed-{client}"
    with Server(*[reply(200, b'{"score": 0.5}')] * 2, reply(500, b"no")) as server:
        settings = {
            "log": {"kind": "kafka", "bootstrap_servers": broker, "client": client, "group": name},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
            "probes": [{"name": name, "url": server.url, "every": "1s", "timeout": "1s"}],
        }
        (tmp_path / "config.yaml").write_bytes(orjson.dumps(settings))
        process = subprocess.Popen(
            [*COMMAND, "probe", str(tmp_path / "config.yaml")], stderr=subprocess.PIPE, text=True
        )
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while len(server.requests) < 7 and process.poll() is None and time.monotonic() < deadline_s:
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, errors
    config = parse(settings)
    log = open_log(config.log)
    try:
        results = [
            orjson.loads(value)
            for batch in log.read("environment")
            for key, value in zip(batch.keys, batch.values, strict=True)
            if key == name.encode() and value is not None
        ]
    finally:
        log.close()
    assert len(results) >= 5
    assert [line for each in results for line in wrong("probe-1.schema.json", each)] == []
    endpoints = Endpoints(config.probe_checks)
    changes = [change for each in results for change in endpoints.take(each["time"], each)]
    assert [(each.subject, each.is_wrong, each.since_ms) for each in changes] == [
        (f"endpoint/{name}/answer", True, results[2]["time"])
    ]
