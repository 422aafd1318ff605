"""A module that takes longer to import than its function may take for a value, as one of a large library."""

import time

time.sleep(1.5)


def lower(value: str) -> str:
    """Prepares as it should."""
    return value.lower()
