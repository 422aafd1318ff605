"""A short form of `python -m tests.integration.schedule`: one broker, three workers, a fault of most kinds."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
# Not the broker: a single one that is killed may hang a transaction for good (docs/reliability.md).
FAULTS = ["kill", "reset", "transaction_timeout", "zombie", "end_txn_delay"]
LONGEST_S = 400


def test_faults_change_no_result() -> None:
    """Whatever happens to workers, broker and network: the same alerts, rejected records and counts, each once."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.schedule"]
    options = ["--records", "30000", "--kills", "4", "--others", "1", "--seed", "1", "--only", *FAULTS]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills      4" in done.stdout
    assert "0 differences" in done.stdout
