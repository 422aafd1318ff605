"""Where models are served: what is expected of the environment of their instances."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic import Field as Setting

from streamguard.config.base import Section
from streamguard.config.types import Count, Duration, Text, TopicName


def _normal(packages: dict[str, str | None]) -> dict[str, str | None]:
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in packages.items()}


class EnvironmentBaseline(Section):
    """What instances are held against where it is declared; all else is held against most of the fleet."""

    packages: Annotated[dict[Text, Text | None], AfterValidator(_normal)] = Setting(default_factory=dict)
    """By distribution: its version; null: it is not installed."""
    variables: dict[Text, str | None] = Setting(default_factory=dict)
    """By variable of the environment: its value; null: it is unset."""
    model_files: dict[Text, Text] = Setting(default_factory=dict)
    """By name of a model's file: its SHA-256, in hexadecimal."""
    python: Text | None = None
    """Version of Python. Null: that of most."""


class Environment(Section):
    """Whether the instances that serve a model are alike, and have what they need."""

    topic: TopicName = "environment"
    """Topic that serving processes write fingerprints to; one partition, so that all are compared with each other.
    Default environment."""
    name: Text = "environment"
    """What alerts name as their monitor. Default environment."""
    severity: Literal["critical", "warning", "info"] = "warning"
    """What its alerts are marked as. Default warning."""
    baseline: EnvironmentBaseline = EnvironmentBaseline()
    """What is held against declared values."""
    ignore: tuple[Text, ...] = ("kernel",)
    """What may differ, as alerts name it, with * and ?: `package pip`, `variable OMP_*`, `gpu names`. Default
    kernel."""
    grace_ms: Duration = Setting(default=1_800_000, alias="grace", ge=0)
    """A difference is told when it has spread no further for so long, so that a deployment that goes from instance to
    instance is none; at least four of the intervals that instances report at. Default 30m."""
    memory_percent: float = Setting(default=95.0, gt=0, le=100, allow_inf_nan=False)
    """Percentage of its memory limit from which on an instance is told of; 5 points below, it is well again. Default
    95."""
    min_instances: Count = 2
    """Fewer instances of one model and version are not compared with each other. Default 2."""
    expect_instances: Count | None = None
    """How many instances should report. Null: those that stop are forgotten, and nothing is told of them."""
