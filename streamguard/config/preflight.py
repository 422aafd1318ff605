"""What this installation needs around it, for `streamguard doctor`."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema, model_validator
from pydantic import Field as Setting

from streamguard.config.base import Problem, Section
from streamguard.config.types import Count, Duration, Text

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"must be versions such as '>=1.4,<1.5', or '' for any, got {text!r}") from None
    return text


def _package(name: str) -> str:
    try:
        if Requirement(name).name == name:
            return name
    except InvalidRequirement:
        pass
    raise ValueError(f"must be the name of a package as pip installs it, got {name!r}")


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return text


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"must be the name of a variable, got {name!r}")
    return name


def _bytes(value: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]iB|B)", value) if isinstance(value, str) else None
    if found is not None:
        return int(float(found[1]) * _UNITS[found[2]])
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError('must be a size such as "8GiB" or "500MiB"')


Versions = Annotated[str, AfterValidator(_specifier)]
Package = Annotated[str, AfterValidator(_package)]
VariableName = Annotated[str, AfterValidator(_variable)]
Size = Annotated[
    Count,
    BeforeValidator(_bytes),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["8GiB"]}, {"type": "integer"}]}),
]


class Variable(Section):
    """What a variable of the environment must be."""

    matches: Annotated[Text, AfterValidator(_pattern)] | None = None
    """Regular expression that all of the value must match. Null: it must be set, to anything but nothing."""

    @model_validator(mode="before")
    @classmethod
    def _pattern_alone(cls, data: Any) -> Any:
        return {"matches": data} if isinstance(data, str) else data


class Gpu(Section):
    """What GPUs there must be; asked of NVIDIA's NVML (`pip install nvidia-ml-py`)."""

    count: Count = 1
    """Least number of GPUs that programs here see, by CUDA_VISIBLE_DEVICES. Default 1."""
    free_memory_bytes: Size | None = Setting(default=None, alias="free_memory")
    """Least memory that is free on each of them, such as 8GiB. Null: any."""


class Preflight(Section):
    """What `streamguard doctor` sees to beside what the other sections need."""

    python: Versions = ""
    """Versions of Python that will do, such as ">=3.11,<3.13". Default: any that streamguard runs on."""
    packages: dict[Package, Versions] = Setting(default_factory=dict)
    """Packages that must be installed, by the names that pip knows, each with the versions that will do, such as
    `scikit-learn: ">=1.4,<1.5"`, or "" for any. They are not imported."""
    variables: dict[VariableName, Variable] = Setting(default_factory=dict)
    """Variables of the environment that must be set, such as `CUDA_VISIBLE_DEVICES: {}` or
    `REGION: {matches: "eu-.*"}`. Values are never shown."""
    gpu: Gpu | None = None
    """What GPUs there must be. Null: none."""
    profile_max_age_ms: Duration | None = Setting(default=180 * 86_400_000, alias="profile_max_age", gt=0)
    """How old the file of a profile may be. Null: any age. Default 180d."""
    max_clock_skew_ms: Duration = Setting(default=1_000, alias="max_clock_skew", gt=0)
    """How far this machine's clock may be from the brokers'. Default 1s."""

    def problems(self) -> Iterable[Problem]:
        names = [name.lower().replace("_", "-") for name in self.packages]
        for name in self.packages:
            if names.count(name.lower().replace("_", "-")) > 1:
                yield ("packages", name), "is there twice, written differently: keep one"
