"""Alerts of a replay are kept on the disk, and come back byte for byte in order."""

import pytest

from streamguard.replay import spool
from streamguard.replay.spool import Spool
from streamguard.replay.sweeping import Told


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
def test_alerts_come_back_in_order(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By setting; by event time, then partition, then as they came."""
    monkeypatch.setattr(spool, "_IN_MEMORY_BYTES", in_memory)
    told = [Told(n % 3, 1000 - n // 7, n % 2, b"%d" % n * (n % 5)) for n in range(200)]
    found = Spool()
    found.add(told[:50])
    assert found.of(0)[0] == told[42].value
    found.add(told[50:])
    assert list(found) == told
    for setting in range(4):
        mine = [each for each in told if each.setting == setting]
        expected = [each.value for each in sorted(mine, key=lambda each: (each.event_time_ms, each.partition))]
        lines = found.of(setting)
        assert list(lines) == expected
        assert list(lines[3:9]) == expected[3:9]
        assert [len(lines), list(lines[-1:])] == [len(expected), expected[-1:]]
