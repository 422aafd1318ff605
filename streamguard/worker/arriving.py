"""From a config to what is counted and told of all that arrives on an input."""

from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import orjson

from streamguard.config import Config, Labels, Predictions
from streamguard.core.arrivals.changes import ContractSettings
from streamguard.core.arrivals.folding import Arriving
from streamguard.core.arrivals.volume import VolumeSettings
from streamguard.core.arrivals.watching import ArrivalSettings
from streamguard.core.contract.fields import ROOT, Contract
from streamguard.core.contract.inspecting import Inspector
from streamguard.core.contract.schema import SchemaError, contract_of
from streamguard.core.features.gathering import Shape
from streamguard.core.join import Input
from streamguard.errors import ConfigError

_ALL = "*"
# Changes are told within so long; volumes are told by slots of five minutes.
_WINDOW_MS = 5_000
_VOLUME_WINDOW_MS = 60_000
_NAMES = {Input.PREDICTIONS: "predictions", Input.LABELS: "labels"}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What join tasks count, and what monitor tasks tell, by input."""

    counted: dict[int, Arriving]
    told: dict[int, ArrivalSettings]


def contract_from(file: str, where: str) -> Contract:
    """The contract that a file has; raises `ConfigError`."""
    try:
        return contract_of(orjson.loads(Path(file).read_bytes()))
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {file!r}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{where}: {file!r} is not JSON: {error}") from None
    except SchemaError as error:
        raise ConfigError(f"{where}: {file!r}: {error}") from None


def arrivals(config: Config, target_count: int) -> Arrivals:
    """Raises `ConfigError` where a schema cannot be a contract."""
    found = Arrivals({}, {})
    for side, section in ((Input.PREDICTIONS, config.predictions), (Input.LABELS, config.labels)):
        if section.contract is not None or section.volume is not None:
            _add(found, config, side, section, target_count)
    return found


def shared(found: dict[int, ArrivalSettings], share: float) -> dict[int, ArrivalSettings]:
    """With what each contract has of the budget, in false alarms a month."""
    return {
        side: each if each.contract is None else replace(each, contract=replace(each.contract, share=share))
        for side, each in found.items()
    }


def _add(found: Arrivals, config: Config, side: Input, section: Predictions | Labels, target_count: int) -> None:
    things = _NAMES[side]
    name = f"input:{things}"
    target = crc32(name.encode()) % target_count
    inspector = _inspector(config, side, section)
    fingerprint = "records" if inspector is None else inspector.contract.fingerprint
    window_ms = _VOLUME_WINDOW_MS if inspector is None else _WINDOW_MS
    counted = Arriving(name, window_ms, fingerprint, target, inspector)
    contract = None
    if section.contract is not None and inspector is not None:
        contract = ContractSettings(
            name=name,
            things=things,
            topic=config.topics[things],
            contract=inspector.contract,
            severity=section.contract.severity,
            tolerance=section.contract.tolerated,
            cooldown_ms=config.alerts.cooldown_ms,
            accept_after_ms=section.contract.accept_after_ms,
            share=0.0,
            budget=config.budget.false_alarms_per_month,
        )
    volume = None
    if section.volume is not None:
        volume = VolumeSettings(
            name=name,
            things=things,
            topic=config.topics[things],
            severity=section.volume.severity,
            baseline_ms=section.volume.baseline_ms,
            is_seasonal=section.volume.season == "hour_of_week",
            falls_to=section.volume.falls_to_percent / 100,
            silent_after_ms=section.volume.silent_after_ms,
            accept_after_ms=section.volume.accept_after_ms,
        )
    found.counted[side] = counted
    found.told[side] = ArrivalSettings(name, Shape(fingerprint, counted.size, window_ms, 1), target, contract, volume)


def _inspector(config: Config, side: Input, section: Predictions | Labels) -> Inspector | None:
    settings = section.contract
    if settings is None:
        return None
    where = f"{_NAMES[side]}.contract"
    contract = contract_from(settings.schema_file, f"{where}.schema")
    refused = [ROOT if name == _ALL else name for name in settings.reject]
    for name in refused:
        if contract.named(name) is None:
            known = ", ".join(each.name for each in contract.fields[1:6])
            raise ConfigError(f"{where}.reject: {name!r} is no field of the schema; it has {known} and so on")
    version = config.predictions.fields.version if side is Input.PREDICTIONS else None
    return Inspector(contract, section.fields.request_id.parts, None if version is None else version.parts, refused)
