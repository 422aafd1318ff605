"""How bad a finding is."""

from enum import StrEnum


class Severity(StrEnum):
    """An error keeps a worker from running, or makes its results wrong."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
