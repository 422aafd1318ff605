"""What docs/payloads.md says can be used as it stands."""

import re
from pathlib import Path

import pytest
import yaml

from streamguard.config import parse

PAGE = (Path(__file__).parent.parent / "docs" / "payloads.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS)
def test_its_configurations_load(text: str) -> None:
    """The whole one as it is, a part of one within the first."""
    whole = yaml.safe_load(BLOCKS[0])
    assert parse({**whole, **yaml.safe_load(text)}).predictions.is_rekeyed


def test_its_table_names_every_format() -> None:
    """And no other."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \| [^|]+ \|$", PAGE, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {"plain", "batch", "kserve", "seldon", "mlflow", "databricks", "bentoml"} <= named
