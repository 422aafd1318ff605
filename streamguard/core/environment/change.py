"""What a judge of the serving environment tells."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """Something is wrong from now on, is wrong in another way, or has ended."""

    subject: str
    """What is meant, the same from its begin to its end: the key of an episode, such as `package scikit-learn`."""
    is_wrong: bool
    """Whether it is wrong now. One that ends and never began was none: a deployment that has gone through."""
    told: str
    """A sentence for people, in which all that strangers have written is printable."""
    since_ms: int
    """Event time from which on it is, or was, so."""
    details: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: instances, values and counts; `model` and `version` where it is about one."""
