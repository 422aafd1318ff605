"""A profile as a document: JSON that people can read and `Profile.load` reads back, exactly as it was."""

from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import Field, ValidationError

from streamguard.errors import ConfigError
from streamguard.reference.parts import Feature, Outcome, Part, Rows

VERSION = 1


class Profile(Part):
    """What training data look like. Built by `streamguard.profile.build`; `load` and `dump` are exact inverses.

    >>> from streamguard.profile import build
    >>> profile = build([{"age": 30 + n % 40, "plan": "free"} for n in range(100)], name="example")
    >>> profile.rows, profile.features["age"].numbers.mean, profile.features["plan"].categories.values[0].count
    (100, 47.5, 100)
    """

    v: Literal[1]
    """Of this form. Readers refuse others."""
    streamguard: str
    """Which version built it."""
    name: str
    model: str | None
    version: str | None
    """Of the model."""
    holds: str
    """What it holds of the data."""
    made_from: str
    rows: Rows = Field(ge=1)
    unreadable: Rows
    """Rows that are no JSON objects; they are not among `rows`."""
    rejected_live: Rows
    """Of `rows`, those that are JSON only to lenient readers (NaN, infinities, lone surrogates): a worker would
    reject them."""
    min_count: int
    """Values and patterns in fewer rows are not named."""
    left_out: dict[str, str]
    """Fields that were not looked at, and why."""
    features: dict[str, Feature]
    prediction: Feature | None
    score: Feature | None
    label: Feature | None
    outcome: Outcome | None
    notes: list[str]
    """What could not be said, and why."""

    def dump(self) -> bytes:
        """As JSON, with a line break at the end."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @staticmethod
    def load(path: str | Path) -> "Profile":
        """From a file; raises `ConfigError` where it is none, is damaged, or is of another version."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        return Profile.parse(data, str(path))

    @staticmethod
    def parse(data: bytes, where: str) -> "Profile":
        """From what `dump` gave; `where` names it in errors. Raises `ConfigError`."""
        again = "Build it again: streamguard profile build"
        try:
            document: Any = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{where}: is no profile, or a damaged one (not JSON: {error}). {again}") from None
        if not isinstance(document, dict) or "v" not in document or "features" not in document:
            raise ConfigError(f"{where}: is no profile: it has no v, or no features. {again}")
        if document["v"] != VERSION:
            raise ConfigError(
                f"{where}: is a profile of version {document['v']!r}, and this streamguard reads {VERSION}. {again}"
            )
        try:
            return Profile.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{where}: is a damaged profile: {place}: {first['msg']}. {again}") from None
