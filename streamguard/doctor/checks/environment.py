"""Variables of the environment, and GPUs."""

import re
from collections.abc import Iterator, Sequence

from streamguard.config import Config
from streamguard.config.preflight import Gpu
from streamguard.doctor.facts import Device, Environment
from streamguard.doctor.finding import Finding
from streamguard.doctor.words import size

CUDA, CUDA_ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
# What CUDA understands: an index, or a UUID as far as it is the only one that begins so; both kinds of MIG devices.
_NAMED = re.compile(r"GPU-[0-9a-f-]+|MIG-[0-9a-f-]+|MIG-GPU-[0-9a-f-]+/\d+/\d+", re.IGNORECASE)


def environment(config: Config, facts: Environment) -> Iterator[Finding]:
    """Variables as `preflight.variables` wants them, and GPUs as `preflight.gpu` does."""
    preflight = config.preflight
    for name, wanted in preflight.variables.items():
        value = facts.variables.get(name)
        if value is None or (not value and wanted.matches is None and name != CUDA):
            seen = "is not set" if value is None else "is set to nothing"
            yield Finding("variable-unset", f"the variable {name} {seen}", f"export {name}=...")
        elif wanted.matches is not None and not re.fullmatch(wanted.matches, value):
            yield Finding(
                "variable-mismatch",
                f"the value of the variable {name} does not match {wanted.matches!r}",
                f"export {name} with a value that does",
            )
    if preflight.gpu is not None or CUDA in preflight.variables:
        yield from _cuda(facts, preflight.gpu)


def _cuda(facts: Environment, wanted: Gpu | None) -> Iterator[Finding]:
    value = facts.variables.get(CUDA)
    tokens = None if value is None else [each.strip() for each in value.split(",")]
    if facts.devices is None:
        yield Finding(
            "gpu-unchecked",
            f"GPUs and their memory could not be looked at: {facts.nvml_problem or 'NVML was not asked'}",
            "pip install nvidia-ml-py, on a machine with NVIDIA's driver",
        )
    if tokens is not None:
        found = list(_listed(tokens, facts.devices))
        yield from found
        if any(each.code != "cuda-order" for each in found):
            return
        yield from _order(tokens, facts)
    if facts.devices is not None and wanted is not None:
        yield from _enough(_visible(tokens, facts.devices), wanted)


def _listed(tokens: Sequence[str], devices: Sequence[Device] | None) -> Iterator[Finding]:
    if tokens == [""] or tokens[0] == "-1":
        yield Finding("cuda-hides-all", f"{CUDA} is {','.join(tokens)!r}: no GPU is seen", f"unset {CUDA}")
        return
    if "-1" in tokens:
        # What follows is hidden, and that is a way to write it.
        tokens = tokens[: tokens.index("-1")]
    for token in tokens:
        if not (token.isascii() and token.isdigit()) and not _NAMED.fullmatch(token):
            yield Finding(
                "cuda-malformed",
                f"{CUDA} names {token!r}, which is neither an index nor a UUID: it and what follows are hidden",
                f"export {CUDA} as indices (0,1) or UUIDs as nvidia-smi -L prints them",
            )
            return
    names = [str(int(each)) if each.isdigit() else each.lower() for each in tokens]
    for token in dict.fromkeys(names):
        if names.count(token) > 1:
            yield Finding("cuda-duplicate", f"{CUDA} names {token!r} twice", f"name each device once in {CUDA}")
    for token in tokens if devices is not None else ():
        if not _fitting(token, devices or ()):
            there = ", ".join(f"{each.index} ({each.uuid})" for each in devices or ()) or "no GPU"
            yield Finding(
                "cuda-no-such-device",
                f"{CUDA} names {token!r}, and there is {there}",
                f"export {CUDA} with devices that exist",
            )


def _fitting(token: str, devices: Sequence[Device]) -> list[Device]:
    """The devices that a token means: one, or it is no name."""
    if token.isdigit():
        return [each for each in devices if each.index == int(token)]
    text = token.lower()
    if text.startswith("mig-gpu-"):
        text = text.removeprefix("mig-").partition("/")[0]
        return [each for each in devices if each.uuid.lower() == text]
    if text.startswith("mig-"):
        return [each for each in devices if any(part.lower().startswith(text) for part in each.parts)]
    found = [each for each in devices if each.uuid.lower().startswith(text)]
    return found if len(found) == 1 else []


def _order(tokens: Sequence[str], facts: Environment) -> Iterator[Finding]:
    devices = facts.devices or ()
    if (
        any(each.isdigit() for each in tokens)
        and len({each.name for each in devices}) > 1
        and facts.variables.get(CUDA_ORDER) != "PCI_BUS_ID"
    ):
        names = ", ".join(f"{each.index} {each.name}" for each in devices)
        yield Finding(
            "cuda-order",
            f"{CUDA} names devices by index, and they are of different kinds ({names})",
            f"export {CUDA_ORDER}=PCI_BUS_ID, or name devices by UUID",
        )


def _visible(tokens: Sequence[str] | None, devices: Sequence[Device]) -> list[Device]:
    if tokens is None:
        return list(devices)
    return [each for token in tokens for each in _fitting(token, devices)]


def _enough(visible: Sequence[Device], wanted: Gpu) -> Iterator[Finding]:
    if len(visible) < wanted.count:
        yield Finding(
            "gpu-count",
            f"{len(visible)} GPUs are seen here, and preflight.gpu.count is {wanted.count}",
            f"name more of them in {CUDA}, or run on another machine",
        )
    for each in visible:
        if wanted.free_memory_bytes is not None and each.free_bytes < wanted.free_memory_bytes:
            yield Finding(
                "gpu-memory",
                f"GPU {each.index} ({each.name}) has {size(each.free_bytes)} free of {size(each.total_bytes)}, and"
                f" preflight.gpu.free_memory is {size(wanted.free_memory_bytes)}",
                "end what holds it: nvidia-smi lists the processes",
            )
