"""From a file and the environment to a `Config`, with every problem found reported at once."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamguard.config.base import Key
from streamguard.config.document import Document, dotted, read
from streamguard.config.environment import NESTED, PREFIX, merge, overrides, variables
from streamguard.config.models import Config
from streamguard.config.report import all_keys, sentences
from streamguard.errors import ConfigError


def load(path: str | Path, text: str | None = None) -> Config:
    """Read a file, or the text that it would hold; variables of the environment named `STREAMGUARD_...` win over it.

    Raises `ConfigError` with one line for each problem: where it is, what is wrong, the value, a way out.
    """
    document = read(Path(path), text)
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path}: must be a mapping of settings, such as log, join and monitors")
    known = list(all_keys())
    sources = _Sources(str(path), document, variables())
    problems = [(0, problem) for problem in sources.unknown_variables(known)]
    try:
        config = _validated(merge(document.data, overrides(known)))
    except ValidationError as error:
        problems += [(sources.line(key), f"{sources.of(key)}: {words}") for key, words in sentences(error)]
    else:
        if not problems:
            return config
    raise ConfigError("\n".join(dict.fromkeys(problem for _, problem in sorted(problems, key=itemgetter(0)))))


# A name such as `after_ms` is Python's; a file that used it would not say its unit.
AS_A_FILE: dict[str, Any] = {"by_alias": True, "by_name": False, "context": {"from_file": True}}
"""How what a user writes is validated."""


def parse(data: Mapping[str, Any]) -> Config:
    """Settings from a mapping in the shape of the file, without looking at the environment.

    Raises `ConfigError` as `load` does.
    """
    try:
        return _validated(data)
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(words for _, words in sentences(error)))) from None


def _validated(data: Any) -> Config:
    return Config.model_validate(data, **AS_A_FILE)


class _Sources:
    """Which line of the file, or which variable, a setting came from."""

    def __init__(self, name: str, document: Document, environment: dict[Key, str]) -> None:
        self._name = name
        self._lines = document.lines
        self._environment = environment

    def of(self, key: Key) -> str:
        """Where the setting stands, or for one that is missing, where it should."""
        if variable := self._variable(key):
            return variable
        return f"{self._name}:{self.line(key)}" if self.line(key) else self._name

    def line(self, key: Key) -> int:
        """The line of the setting, else of the nearest one around it."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 0) if key else 0

    def unknown_variables(self, known: Collection[Key]) -> Iterator[str]:
        """What is wrong with the names of variables that are meant for us and set nothing."""
        names = {PREFIX + NESTED.join(map(str, key)).upper(): key for key in known}
        for key, variable in self._environment.items():
            if key in known:
                continue
            if whole := next((name for name, at in names.items() if at == key[:1] == ("monitors",)), None):
                yield f"{variable}: monitors is a list; set all of it, as JSON, in {whole}"
                continue
            near = get_close_matches(variable.upper(), names, 1)
            meant = f"did you mean {near[0]}?" if near else f"names look like {PREFIX}LOG{NESTED}GROUP"
            yield f"{variable}: unknown setting {dotted(key)}; {meant}"

    def _variable(self, key: Key) -> str | None:
        """The variable that set this or something around it, or a part of it where the file is silent."""
        for length in range(len(key), 0, -1):
            if key[:length] in self._environment:
                return self._environment[key[:length]]
        if key and key not in self._lines:
            return next((name for at, name in self._environment.items() if at[: len(key)] == key), None)
        return None
