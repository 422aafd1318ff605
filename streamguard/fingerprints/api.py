"""`streamguard.fingerprint`: called in the process that serves a model."""

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

from streamguard.config import EmbeddedLog, KafkaLog, load, parse
from streamguard.config.serving import Environment
from streamguard.config.types import is_topic_name
from streamguard.core.durations import parse_duration_ms
from streamguard.core.records import Scalar
from streamguard.errors import ConfigError
from streamguard.fingerprints import facts as contents
from streamguard.fingerprints.hashing import Hashes
from streamguard.fingerprints.machine import Machine
from streamguard.fingerprints.packages import Packages
from streamguard.fingerprints.publisher import Publisher
from streamguard.fingerprints.secrets import refuse
from streamguard.fingerprints.turns import Turn
from streamguard.logs.interface import Record
from streamguard.logs.opening import open_log

_EVERY_MIN_MS = 1000
_NAMES_MAX = 100
# Beyond it not every reader of JSON has whole numbers.
_NUMBER_MAX = 1 << 53
# Whoever only publishes needs no more of a configuration than where records live.
_UNUSED = {"join": {"after": "1h"}, "monitors": [{"name": "unused", "no_data_after": "1h"}]}

Files = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


def fingerprint(  # noqa: PLR0913 - all by name, and each of use alone
    *,
    config: str | Path | None = None,
    bootstrap_servers: str | Sequence[str] | None = None,
    security: Mapping[str, Any] | None = None,
    log: Mapping[str, Any] | None = None,
    topic: str | None = None,
    instance: str | None = None,
    model: str | None = None,
    version: str | None = None,
    model_files: Files = (),
    preprocessing: str | None = None,
    variables: Iterable[str] | None = None,
    packages: bool = True,
    facts: Mapping[str, Scalar | None] | None = None,
    every: str | int = "5m",
    sink: Callable[[bytes], None] | None = None,
) -> Publisher:
    """Publish what this process runs on, now and every few minutes, from a thread of its own.

    Where to: `bootstrap_servers` with `security` as in the section `log.security` of a configuration; or `log`, that
    section as a mapping; or `config`, the file of a configuration, which also names the topic; or `sink`, which is
    called with each record's bytes. `topic`: default environment; it has one
    partition.

    `instance`: what this is one of, the same after a restart; default the name of the host, which is that of the pod.
    `model_files`: paths, or paths by name; their SHA-256 is sent, and taken slowly. `variables`: which variables of
    the environment are sent, `TF_*` for all that begin so; default `streamguard.fingerprints.facts.VARIABLES`.
    `packages`: whether names and versions of all distributions are sent. `facts`: whatever else should be alike.
    `every`: a duration such as 5m, or milliseconds.

    Returns at once. From then on nothing is raised, and what fails is tried again; `stop()` ends it, and so does the
    end of the process. Call it in each worker or before they are forked: of the processes of one instance one
    publishes. Raises `ConfigError` for arguments that are wrong, or would send secrets.
    """
    named = _files(model_files)
    wanted = contents.Wanted(
        instance=_named("instance", instance or os.environ.get("HOSTNAME") or socket.gethostname()),
        every_ms=_every(every),
        model=model,
        version=version,
        preprocessing=preprocessing,
        variables=contents.VARIABLES if variables is None else _variables(variables),
        packages=packages,
        facts=_facts(facts or {}),
    )
    for name in ("model", "version", "preprocessing"):
        _named(name, getattr(wanted, name) or "none")
    send, where = _target(sink, config, log, bootstrap_servers, security, topic, wanted.instance)
    hashes = Hashes(named)
    make = partial(contents.record, wanted, hashes, Machine(), Packages())
    turn = Turn("\n".join(map(str, (where, wanted.instance, model, version))))
    return Publisher(make, send, wanted.every_ms / 1000, hashes, turn)


def _target(
    sink: Callable[[bytes], None] | None,
    config: str | Path | None,
    log: Mapping[str, Any] | None,
    bootstrap_servers: str | Sequence[str] | None,
    security: Mapping[str, Any] | None,
    topic: str | None,
    instance: str,
) -> tuple[Callable[[bytes], None], str]:
    """What takes a record, and where that puts it, in a text that is the same for all processes of one server."""
    ways = {"sink": sink, "config": config, "log": log, "bootstrap_servers": bootstrap_servers}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        said = " and ".join(given) if given else "none"
        raise ConfigError(f"streamguard.fingerprint needs one of bootstrap_servers, log, config and sink, got {said}")
    if security is not None and bootstrap_servers is None:
        raise ConfigError("security goes with bootstrap_servers; elsewhere it is a part of log")
    if sink is not None:
        return sink, f"sink {os.getpid()}"
    if config is not None:
        loaded = load(config)
        settings = loaded.log
        topic = topic or (loaded.environment or Environment()).topic
    else:
        if log is None:
            log = {"bootstrap_servers": bootstrap_servers, "security": security}
        settings = parse({"log": {"kind": "kafka", "group": "fingerprint", **log}, **_UNUSED}).log
    topic = topic or Environment().topic
    if not is_topic_name(topic):
        raise ConfigError(f"topic {topic!r} is no name of a topic (letters, digits, '.', '_', '-')")
    _import_client(settings)
    where = settings.path if isinstance(settings, EmbeddedLog) else ",".join(settings.bootstrap_servers)
    return partial(_append, settings, topic, instance), f"{where}\n{topic}"


def _append(settings: EmbeddedLog | KafkaLog, topic: str, instance: str, value: bytes) -> None:
    log = open_log(settings)
    try:
        log.append([Record(topic, instance.encode("utf-8", "backslashreplace"), value)])
    finally:
        log.close()


def _import_client(settings: EmbeddedLog | KafkaLog) -> None:
    """Now, in the caller's thread: a fork that met an import of another thread would leave its lock taken."""
    name = "embedded" if isinstance(settings, EmbeddedLog) else "kafka"
    if isinstance(settings, KafkaLog) and settings.client == "confluent":
        name = "confluent"
    with suppress(ModuleNotFoundError):  # which opening the log says in better words
        import_module(f"streamguard.logs.{name}")


def _every(every: str | int) -> int:
    try:
        every_ms = parse_duration_ms(every)
    except ValueError as error:
        raise ConfigError(f"every: {error}") from None
    if every_ms < _EVERY_MIN_MS:
        raise ConfigError(f"every must be 1s or more, got {every!r}")
    return every_ms


def _named(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{what} must be text that is not empty, got {value!r:.80}")
    return value


def _files(given: Files) -> dict[str, Path]:
    if isinstance(given, Mapping):
        found = {_named("model_files", name): Path(path) for name, path in given.items()}
    else:
        paths = [Path(each) for each in ([given] if isinstance(given, str | Path) else given)]
        found = {path.name: path for path in paths}
        if len(found) < len(paths):
            raise ConfigError("model_files has two files of one name: give a mapping from names of your own to paths")
    if len(found) > _NAMES_MAX:
        raise ConfigError(f"model_files names {len(found)} files: {_NAMES_MAX} at most")
    return found


def _variables(given: Iterable[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    if len(names) > _NAMES_MAX:
        raise ConfigError(f"variables has {len(names)} names: {_NAMES_MAX} at most")
    for name in names:
        _named("variables", name)
    refuse(list(names), "variable")
    return names


def _facts(given: Mapping[str, Scalar | None]) -> dict[str, Scalar | None]:
    refuse([_named("facts", name) for name in given], "fact")
    if len(given) > _NAMES_MAX:
        raise ConfigError(f"facts has {len(given)} names: {_NAMES_MAX} at most")
    for name, value in given.items():
        is_number = isinstance(value, int | float) and isfinite(value) and abs(value) < _NUMBER_MAX
        if not (value is None or isinstance(value, str) or is_number):
            raise ConfigError(f"fact {name!r} must be text, a finite number, true, false or None, got {value!r:.80}")
    return dict(given)
