"""Small fixed histories, and the alerts that were raised over them: `python -m tests.replay.golden` writes these anew.

A history is a directory below tests/golden/replay with config.yaml, predictions.jsonl.gz and labels.jsonl.gz.
expected.jsonl has the alerts of each setting of the configuration, and how the records ended.
"""

from pathlib import Path

import orjson

import streamguard

ROOT = Path(__file__).parents[1] / "golden" / "replay"
HISTORIES = sorted(path.parent for path in ROOT.glob("*/config.yaml"))


def found(history: Path) -> bytes:
    """What a backtest of this history says, a line for each alert."""
    sides = (history / f"{name}.jsonl.gz" for name in ("predictions", "labels"))
    result = streamguard.backtest(history / "config.yaml", *sides)
    rows: list[object] = [{"counts": result.counts, "outcomes": result.outcomes, "notes": result.notes}]
    rows += [{"setting": each.name, **alert} for each in result.settings for alert in each.alerts]
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def main() -> None:
    """Write what is expected from now on: look at the difference before it is kept."""
    for history in HISTORIES:
        (history / "expected.jsonl").write_bytes(found(history))


if __name__ == "__main__":
    main()
