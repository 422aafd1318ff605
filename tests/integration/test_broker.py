"""The broker of the tests is a real one, and ends with whoever started it."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from tests.integration.broker import BrokerUnavailableError, jars

pytestmark = pytest.mark.broker


def is_listening(address: str) -> bool:
    """Whether somebody accepts connections there."""
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_knows_no_topic_that_nobody_made(broker: str) -> None:
    """A misspelt topic must not come into being: that would hide the mistake."""
    admin = KafkaAdminClient(bootstrap_servers=broker)
    assert "no-such-topic" not in admin.list_topics()
    admin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_dies_with_its_parent(broker: str, tmp_path: Path) -> None:
    """A test run that is killed leaves no broker behind."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.broker", "--data", str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    address = parent.stdout.readline().strip()
    assert is_listening(address)
    assert address != broker
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while is_listening(address) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_listening(address)
    assert is_listening(broker)


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java the reason names the command that installs it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerUnavailableError, match="apt-get install openjdk-17-jdk-headless maven"):
        jars()
