"""Forms of texts that JSON Schema names, as patterns: of their shape, not of each rule behind it."""

import re

_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})"

FORMS: dict[str, re.Pattern[str]] = {
    "date-time": re.compile(rf"^{_DATE}[Tt ]{_TIME}\Z"),
    "date": re.compile(rf"^{_DATE}\Z"),
    "time": re.compile(rf"^{_TIME}\Z"),
    "uuid": re.compile(r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"),
    "email": re.compile(r"^[^@\s]+@[^@\s]+\Z"),
    "ipv4": re.compile(r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!\Z)|\Z)){4}\Z"),
    "uri": re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:\S+\Z"),
}
"""By the name in JSON Schema, which is tried in this order where a form is learned."""
