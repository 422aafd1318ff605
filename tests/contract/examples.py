"""The examples of the contract, real alerts all of them: `python -m tests.contract.examples` writes them anew."""

from collections.abc import Iterator
from typing import Any

import orjson

from streamguard.config.handlers import RetrainHandler
from streamguard.core.fields import parse_time_ms
from streamguard.core.records import Stream
from streamguard.handlers.alert import read_alert
from streamguard.handlers.retraining import Retrainings
from tests.contract import arriving, carried
from tests.contract.schemas import CONTRACT
from tests.core.environment.fleets import alerts as environment_alerts
from tests.core.environment.fleets import as_batch, pods, task, told_every
from tests.core.helpers import documents
from tests.core.test_monitor_budget import BUDGETED, drawn, outcomes, settings, stepped
from tests.replay.golden import HISTORIES

EXAMPLES = CONTRACT / "examples"
CARRIED = {"data_drift", "preprocessing"}
ARRIVING = {"message_contract", "volume"}


def golden() -> Iterator[dict[str, Any]]:
    """The alerts of the histories of the replay."""
    for history in HISTORIES:
        for line in (history / "expected.jsonl").read_bytes().splitlines()[1:]:
            alert = orjson.loads(line)
            del alert["setting"]
            yield alert


def watched() -> list[dict[str, Any]]:
    """What those histories lack: mistakes that stay until they are accepted, and labels that come back."""
    wrong, lost = drawn((0.05, 4000), (0.2, 11_000)), drawn((0.02, 8000), (0.2, 3000), (0.02, 4000))
    monitor = {"match": {"model": "fraud", "version": "7"}, "whole": True, "unlabelled": BUDGETED}
    given = settings({**BUDGETED, "accept_after": "1d"}, **monitor)
    return documents(stepped(outcomes(wrong, lost=lost, countries=2), given, []), Stream.ALERTS)


def retrained(alert: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a retrain handler tells of an alert for which it runs a program, and when."""
    runs = Retrainings(RetrainHandler(name="again", type="retrain", command=("/opt/retrain.sh",)), lambda: f"{1:032x}")
    raised = read_alert(orjson.dumps(alert))
    started_ms = parse_time_ms(alert["event_time"]) + 2000
    told, _ = runs.begin(raised, started_ms)
    runs.published(told)
    runs.end(raised.episode, started_ms + 5_400_000, None, {"version": "8"})
    for each in (*told, *runs.unpublished()):
        yield orjson.loads(each.data())


def differing() -> list[dict[str, Any]]:
    """What is told of a fleet of which one instance, later another, runs another version, until both are mended."""
    other = {"packages": {"scikit-learn": "1.5.0"}}
    changes = {"pod-7": [(60, other), (240, {})], "pod-9": [(120, other), (250, {})]}
    return environment_alerts(task().step(as_batch(told_every(300, pods(), changes))))


def names(alert: dict[str, Any]) -> Iterator[str]:
    """What it is an example of."""
    kind, status = alert["kind"], alert["status"]
    if "retraining" in alert:
        yield f"{kind}-{status if alert['retraining']['state'] == 'started' else 'ended'}"
    elif alert["severity"] == "info":
        yield f"{kind}-notice" if kind in ARRIVING else f"{kind}-improvement"
    elif alert["resolution"] == "accepted":
        yield f"{kind}-accepted"
    else:
        yield f"{kind}-{status}"
    if alert["segments"] and status == "raised":
        yield f"{kind}-whole"


def found() -> dict[str, bytes]:
    """The first alert of each name, as it is written to a file."""
    first: dict[str, dict[str, Any]] = {}
    alerts = [*golden(), *watched(), *differing(), *(each for each in carried.alerts() if each["kind"] in CARRIED)]
    alerts += arriving.alerts()
    drift = next(each for each in alerts if each["kind"] == "mismatch_drift" and each["status"] == "raised")
    for alert in (*alerts, *retrained(drift)):
        for name in names(alert):
            first.setdefault(name, alert)
    return {name: orjson.dumps(alert, option=orjson.OPT_INDENT_2) + b"\n" for name, alert in first.items()}


def main() -> None:
    """Write them: look at the difference before it is kept."""
    for old in EXAMPLES.glob("*.json"):
        old.unlink()
    for name, text in found().items():
        (EXAMPLES / f"{name}.json").write_bytes(text)


if __name__ == "__main__":
    main()
