"""Python and packages."""

import shlex
from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from streamguard.config import Config, KafkaLog
from streamguard.doctor.facts import Packages, Topic
from streamguard.doctor.finding import Finding

_CODECS = {
    "lz4": ("lz4",),
    "zstd": ("zstandard",),
    "snappy": ("python-snappy",),
}


def packages(config: Config, facts: Packages) -> Iterator[Finding]:
    """What streamguard itself, its settings, and `preflight` need."""
    for source, specifier in (("streamguard", facts.requires_python), ("preflight.python", config.preflight.python)):
        if specifier and not SpecifierSet(specifier).contains(facts.python, prereleases=True):
            yield Finding(
                "python-version",
                f"this is Python {facts.python}, and {source} needs {specifier}",
                f"install streamguard on Python {specifier}",
            )
    yield from _own(facts)
    yield from _extras(config, facts)
    for name, specifier in config.preflight.packages.items():
        yield from _judged(name, specifier, facts, "preflight.packages")


def _own(facts: Packages) -> Iterator[Finding]:
    for text in facts.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _judged(requirement.name, str(requirement.specifier), facts, "streamguard")


def _extras(config: Config, facts: Packages) -> Iterator[Finding]:
    if isinstance(config.log, KafkaLog) and config.log.client == "confluent":
        yield from _extra("log.client: confluent", "confluent-kafka", ">=2.16.1,<3", facts)
    if config.join.store.directory is not None:
        yield from _extra("join.store.directory", "rocksdict", ">=0.3.29", facts)


def _extra(setting: str, name: str, specifier: str, facts: Packages) -> Iterator[Finding]:
    found = facts.installed.get(name)
    if found is None or not _fits(found.version, specifier):
        has = "is not installed" if found is None else f"is installed in version {found.version}"
        yield Finding("extra-missing", f"{setting} needs {name}{specifier}, which {has}", _install(name, specifier))


def _judged(name: str, specifier: str, facts: Packages, who: str) -> Iterator[Finding]:
    found = facts.installed.get(canonicalize_name(name))
    if found is None:
        yield Finding(
            "package-missing", f"{name}{specifier} is not installed, and {who} needs it", _install(name, specifier)
        )
    elif not _fits(found.version, specifier):
        yield Finding(
            "package-version",
            f"{name} is installed in version {found.version}, and {who} needs {specifier}",
            _install(name, specifier),
        )
    elif not found.is_importable:
        yield Finding(
            "package-missing",
            f"{name} {found.version} is said to be installed, but its modules are not there",
            f"pip install --force-reinstall {shlex.quote(f'{name}=={found.version}')}",
        )


def _fits(version: str, specifier: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return not specifier


def _install(name: str, specifier: str) -> str:
    return f"pip install {shlex.quote(f'{name}{specifier}')}"


def codecs(topics: Mapping[str, Topic], facts: Packages) -> Iterator[Finding]:
    """Topics that are kept compressed need the codec here."""
    for topic in topics.values():
        codec = topic.settings.get("compression.type", "")
        if codec in _CODECS and not any(name in facts.installed for name in _CODECS[codec]):
            yield Finding(
                "codec-missing",
                f"topic {topic.name!r} is compressed with {codec}, and {_CODECS[codec][0]} is not installed",
                f"pip install 'kafka-python[{codec}]'",
            )
