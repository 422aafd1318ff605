"""What the judges of the environment find."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """What began or ended in the environment; `subject` is the stable key of its episode."""

    subject: str
    is_wrong: bool
    told: str
    since_ms: int
    details: dict[str, Any]
