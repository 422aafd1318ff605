"""The settings that a backtest compares: a configuration, and what else it says should be tried."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import orjson

from streamguard.config.backtest import BASE
from streamguard.config.loading import parse
from streamguard.config.models import Config
from streamguard.errors import ConfigError

_SECTIONS = ("monitors", "budget", "alerts")
# What two settings that read the same outcomes must share.
_SHARED = ("name", "match", "split_by", "cohorts")


@dataclass(frozen=True, slots=True)
class Variant:
    """A configuration with a name, and what differs from the first."""

    name: str
    changes: Mapping[str, Any]
    config: Config


def variants(config: Config) -> list[Variant]:
    """The configuration itself, and every alternative of its `backtest` section.

    Raises `ConfigError` where a change names no setting, or makes none that is legal.
    """
    found = [Variant(BASE, {}, config)]
    for name, changes in _wanted(config):
        if any(changes == each.changes for each in found):
            raise ConfigError(f"backtest: {name!r} changes the same as another: leave one out")
        found.append(Variant(name, changes, _changed(config, name, changes)))
    return found


def _wanted(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in config.backtest.alternatives:
        yield each.name, dict(each.changes)
    sweep = config.backtest.sweep
    for values in product(*sweep.values()) if sweep else ():
        changes = dict(zip(sweep, values, strict=True))
        yield ", ".join(f"{_short(path, sweep)} {_text(value)}" for path, value in changes.items()), changes


def _short(path: str, paths: Mapping[str, Any]) -> str:
    """The end of a path, as much of it as tells it from the others."""
    parts = path.split(".")
    for length in range(1, len(parts)):
        end = ".".join(parts[-length:])
        if sum(each == end or each.endswith(f".{end}") for each in paths) == 1:
            return end
    return path


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _changed(config: Config, name: str, changes: Mapping[str, Any]) -> Config:
    document = config.model_dump(mode="json", by_alias=True, exclude={"log", "backtest"})
    for path, value in changes.items():
        _put(document, path, value, f"backtest, {name!r}")
    # No setting of the log may be changed, and its secrets are not in a document.
    document["log"] = {"kind": "embedded", "path": "unused.db"}
    try:
        found = parse(document)
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError("\n".join(f"backtest, {name!r}: {line}" for line in lines)) from None
    for before, after in zip(config.monitors, found.monitors, strict=True):
        differing = [each for each in _SHARED if getattr(before, each) != getattr(after, each)]
        if differing:
            raise ConfigError(
                f"backtest, {name!r}: {differing[0]} of monitor {before.name!r} cannot be compared in one pass, since"
                " it changes which outcomes are watched: run a backtest of its own"
            )
    return config.model_copy(update={section: getattr(found, section) for section in _SECTIONS})


def _put(document: dict[str, Any], path: str, value: Any, where: str) -> None:
    section, _, rest = path.partition(".")
    if section not in _SECTIONS or not rest or (section == "alerts" and rest != "cooldown"):
        raise ConfigError(
            f"{where}: {path!r} cannot be compared; paths begin with monitors.<name>, or are"
            " budget.false_alarms_per_month or alerts.cooldown"
        )
    node: Any = document[section]
    if section == "monitors":
        names = [each["name"] for each in node]
        # A name may hold dots: the longest is meant that a setting of monitors follows.
        fitting = [each for each in names if rest.startswith(f"{each}.")]
        name = max(fitting, key=lambda each: (rest[len(each) + 1 :].split(".")[0] in node[0], len(each)), default=None)
        if name is None:
            raise ConfigError(f"{where}: {path!r} names no monitor; there is {', '.join(map(repr, names))}")
        node, rest = node[names.index(name)], rest[len(name) + 1 :]
    *parents, last = rest.split(".")
    for part in parents:
        node = _inner(node, part, path, where)
    if isinstance(node, list):
        _inner(node, last, path, where)
        node[int(last)] = value
    else:
        node[last] = value


def _inner(node: Any, part: str, path: str, where: str) -> Any:
    """What is under a name, or at a place of a list; a section that is null becomes one."""
    if isinstance(node, list):
        if not (part.isascii() and part.isdigit()) or int(part) >= len(node):
            raise ConfigError(f"{where}: {path!r}: {part!r} is no place of a list of {len(node)}, counted from 0")
        return node[int(part)]
    if node.get(part) is None:
        node[part] = {}
    if not isinstance(node[part], dict | list):
        raise ConfigError(f"{where}: {path!r}: {part} is {_text(node[part])}, and no section")
    return node[part]
