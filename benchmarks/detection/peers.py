"""Detectors of frouros, which is no dependency: they are judged where somebody has installed it."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from benchmarks.detection.detectors import Alarm, Ready
from benchmarks.detection.streams import Floats, Ints
from streamguard.core.detectors import Direction

FROUROS = {f"frouros {name}": name for name in ("DDM", "ADWIN", "PageHinkley", "CUSUM")}
ABSENT = "frouros is not installed; `pip install frouros` and --frouros judge its detectors, too"


def is_installed() -> bool:
    """Whether they can be judged."""
    return find_spec("frouros") is not None


@dataclass(frozen=True, slots=True)
class Frouros(Ready):
    """A detector of frouros at its defaults, reset at each drift. None says a direction; ADWIN looks both ways."""

    name: str

    def run(self, times_ms: Ints, losses: Floats) -> list[Alarm]:
        del times_ms
        kind = FROUROS[self.name]
        detector = getattr(import_module("frouros.detectors.concept_drift"), kind)()
        direction = Direction.UNKNOWN if kind == "ADWIN" else Direction.WORSE
        alarms = []
        for index, loss in enumerate(losses.tolist()):
            detector.update(value=loss)
            if detector.status["drift"]:
                alarms.append(Alarm(index, direction))
                detector.reset()
        return alarms
