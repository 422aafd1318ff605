"""The record that a serving process publishes of itself: fingerprint-1.schema.json."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import orjson

from streamguard.core.records import Scalar
from streamguard.fingerprints.gpus import gpus
from streamguard.fingerprints.hashing import Hashes
from streamguard.fingerprints.machine import Machine, system
from streamguard.fingerprints.packages import Packages
from streamguard.fingerprints.secrets import harmless, is_secret

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
    "PYTHONHASHSEED",
    "TF_*",
    "XLA_FLAGS",
    "TORCH_*",
)
"""What is sent of the environment unless it is said otherwise; a name with * where such a variable is set."""

_VARIABLES_MAX = 400
_NAME_CHARS = 300
_VALUE_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be sent."""

    instance: str
    every_ms: int
    model: str | None = None
    version: str | None = None
    preprocessing: str | None = None
    variables: Sequence[str] = VARIABLES
    packages: bool = True
    facts: Mapping[str, Scalar | None] = field(default_factory=dict)


def record(wanted: Wanted, hashes: Hashes, machine: Machine, packages: Packages) -> bytes:
    """As JSON, as of now. What cannot be found out is null."""
    return orjson.dumps(
        {
            "v": 1,
            "type": "fingerprint",
            "instance": _text(wanted.instance, _NAME_CHARS),
            "time": time.time_ns() // 1_000_000,
            "every_ms": wanted.every_ms,
            "process": {"pid": os.getpid(), "started": machine.started_ms()},
            "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
            "system": system(),
            "packages": packages.installed() if wanted.packages else None,
            "variables": variables(wanted.variables),
            "cpu": machine.cpu(),
            "memory": machine.memory(),
            "files": machine.files(),
            "gpu": gpus(),
            "model": _text(wanted.model, _NAME_CHARS),
            "version": _text(wanted.version, _NAME_CHARS),
            "model_files": hashes.known(),
            "preprocessing": _text(wanted.preprocessing, _VALUE_CHARS),
            "facts": {name: _scalar(value) for name, value in wanted.facts.items()},
        }
    )


def variables(names: Sequence[str]) -> dict[str, str | None]:
    """Values of variables; null where one that is named in full is unset."""
    found: dict[str, str | None] = {}
    for name in names:
        if "*" in name or "?" in name:
            matching = sorted(each for each in os.environ if fnmatchcase(each, name) and not is_secret(each))
            found |= {each: os.environ.get(each) for each in matching}
        else:
            found[name] = os.environ.get(name)
    shown = list(found.items())[:_VARIABLES_MAX]
    return {name[:_NAME_CHARS]: _text(value, _VALUE_CHARS) for name, value in shown}


def _text(value: str | None, most: int) -> str | None:
    if value is None:
        return None
    # Bytes that are no UTF-8 stand in the environment as lone surrogates.
    return harmless(value.encode("utf-8", "backslashreplace").decode())[:most]


def _scalar(value: Scalar | None) -> Scalar | None:
    return _text(value, _VALUE_CHARS) if isinstance(value, str) else value
