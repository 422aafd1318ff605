"""Probes of servers on this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamguard.config.loading import AS_A_FILE
from streamguard.config.probes import Probe
from streamguard.probing import Target, probe
from tests.contract.schemas import wrong
from tests.handlers.samples import Peer, Server

Answer = bytes | Callable[[Peer], None]


def target(url: str, **settings: Any) -> Target:
    """As a configuration would have it."""
    return Target(Probe.model_validate({"name": "it", "url": url, **settings}, **AS_A_FILE))


def called(url: str, **settings: Any) -> dict[str, Any]:
    """What comes of a call; as the contract has it."""
    result = probe(target(url, **settings))
    assert wrong("probe-1.schema.json", result) == []
    return result


def result(*answers: Answer, path: str = "", certificate: Path | None = None, **settings: Any) -> dict[str, Any]:
    """What comes of calling a server that answers so."""
    with Server(*answers, certificate=certificate) as server:
        return called(server.url + path, **settings)


def error(*answers: Answer, **settings: Any) -> tuple[str, str]:
    """Of what kind it is, and what is said of it without the server's address."""
    with Server(*answers, certificate=settings.pop("certificate", None)) as server:
        found = called(server.url, **settings)
    assert found["ok"] is False
    return found["error"]["kind"], found["error"]["message"].replace(server.where, "SERVER")
