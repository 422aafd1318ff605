"""Values of Python as JSON: what each becomes, in rows and in columns."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest

from streamguard.replay.frames import as_source
from tests.replay.reading import NEEDED, documents, record

START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = 1_704_067_200_000

VALUES: dict[str, tuple[Any, Any]] = {
    "time": (datetime(2024, 1, 1, 0, 0, 0, 1999, UTC), START_MS + 1),
    "naive": (datetime(2024, 1, 1), START_MS),  # noqa: DTZ001 - it has no zone
    "before-1970": (datetime(1969, 12, 31, 23, 59, 59, 999_500, UTC), -1),
    "date": (date(2024, 1, 1), START_MS),
    "time-of-day": (time(1, 2), "01:02:00"),
    "duration": (timedelta(seconds=2), 2000),
    "timestamp": (pd.Timestamp("2024-01-01T01:00:00.0019+01:00"), START_MS + 1),
    "numpy-time": (np.datetime64("2024-01-01T00:00:00.0019", "ns"), START_MS + 1),
    "numpy-duration": (np.timedelta64(2, "s"), 2000),
    "not-a-time": (pd.NaT, None),
    "not-a-numpy-time": (np.datetime64("NaT"), None),
    "not-available": (pd.NA, None),
    "not-a-number": (float("nan"), None),
    "numpy-nan": (np.float64("nan"), None),
    "numpy-number": (np.float32(0.5), 0.5),
    "numpy-boolean": (np.True_, True),
    "numpy-text": (np.str_("a"), "a"),
    "numpy-array": (np.array([[1, 2]]), [[1, 2]]),
    "numpy-view": (np.arange(6)[::3], [0, 3]),
    "numpy-objects": (np.array([None, "a"], object), [None, "a"]),
    "decimal": (Decimal("1.5"), 1.5),
    "uuid": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "mapping": (MappingProxyType({"a": START}), {"a": START_MS}),
    "set": ({1}, [1]),
    "list": ([START, (1, None)], [START_MS, [1, None]]),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=VALUES)
def test_every_value_has_its_json(value: Any, expected: Any) -> None:
    """In rows, and in columns."""
    for given in ([record(0, x=value)], {"request_id": ["r0"], "label": [1], "time": [2], "x": [value]}):
        (found,) = documents(as_source(given, "labels", NEEDED))
        assert (type(found["x"]), found["x"]) == (type(expected), expected)


def test_times_without_a_zone_are_utc_wherever_one_is() -> None:
    """Not of the machine's own zone."""
    code = """
from datetime import datetime
from streamguard.replay.frames import as_source
for batch in as_source([{"time": datetime(2024, 1, 1)}], "labels", ()).batches():
    print(list(batch.values))
"""
    command, zone = [sys.executable, "-c", code], os.environ | {"TZ": "Asia/Tokyo"}
    told = subprocess.run(command, env=zone, capture_output=True, text=True, check=True).stdout
    assert told == f"[b'{{\"time\":{START_MS}}}']\n"


@pytest.mark.parametrize("numbers", [[7, -1], np.array([7, -1]), pd.Series([7, -1]), pl.Series([7, -1])])
def test_whole_numbers_as_request_ids_are_text(numbers: Any) -> None:
    """As they must be in JSON; what is given stays what it was."""
    mappings = [{"request_id": number} for number in numbers]
    forms = [mappings, {"request_id": numbers}, pd.DataFrame({"request_id": list(numbers)}), pl.DataFrame(mappings)]
    for given in forms:
        assert [each["request_id"] for each in documents(as_source(given, "labels", NEEDED[:1]))] == ["7", "-1"]
    assert mappings[0]["request_id"] == 7
    assert documents(as_source([{"request_id": True}], "labels", NEEDED[:1])) == [{"request_id": True}]
