"""`streamguard handle` on a broker, killed again and again, to a receiver that fails in every way."""

from pathlib import Path

import pytest

from streamguard.core.alerts import alert_data
from tests.integration.conftest import CLIENTS
from tests.integration.receiving import Handling, course, receiving

pytestmark = pytest.mark.broker

SAMPLE = Path(__file__).parents[2] / "streamguard" / "contract" / "examples" / "mismatch_drift-raised.json"
KILLS = 5


@pytest.mark.parametrize("client", CLIENTS)
def test_every_alert_comes_whatever_fails(broker: str, client: str, tmp_path: Path) -> None:
    """None is lost or dead, each episode is in order, and only what was under way at a kill comes twice."""
    log = {"kind": "kafka", "bootstrap_servers": broker, "client": client, "session_timeout": "6s"}
    name = f"handling-{client}"
    with receiving() as receiver:
        handling = Handling(tmp_path, log | {"group": name}, receiver.url, alert_data(SAMPLE.read_bytes()), name)
        came = course(handling, receiver, kills=KILLS)
    assert (came.alerts, came.lost, came.dead, came.disordered) == (10 * KILLS, 0, 0, 0)
    assert came.repeated <= KILLS * handling.concurrency
