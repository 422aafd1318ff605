"""What the doctor says: one thing that is wrong, and how to mend it."""

from dataclasses import dataclass

from streamguard.doctor.codes import CODES
from streamguard.doctor.severity import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    code: str
    """Stable name, one of `codes.CODES`."""
    what: str
    """What was seen, and where."""
    mend: str
    """How to mend it: a command or a setting."""

    @property
    def severity(self) -> Severity:
        return CODES[self.code].severity

    @property
    def why(self) -> str:
        """Why it matters."""
        return CODES[self.code].why
