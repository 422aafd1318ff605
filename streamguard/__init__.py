"""streamguard: finds out that a model in production has gone wrong, from its predictions and late labels.

The map of this tree, in the order in which imports point (nothing imports what stands below it):

    errors              everything raised on purpose
    core.records        the vocabulary
    core.losses, core.threshold, core.detectors, core.budgeted, core.bets, core.baseline, core.bands,
                        core.durations, core.windows
                        the checks, each over one stream of losses, and their settings
    config              the configuration, validated
    core                pure: codec, skeleton, waiting, join (stage one); outcomes; merge, intake, budget, checks,
                        segment, watching, alerts, monitor (stage two); payloads, pairing, rekey (before them);
                        contract, arrivals (what comes on the inputs); environment (where models are served)
    logs                where records live: interface, embedded (SQLite), kafka, confluent
    stores              the disk of windows that outgrow memory
    probing             endpoints of models, called now and then
    worker              the loop between a log and the tasks
    rekeying            the stage that writes payload logs anew, as keyed records in the order of event time
    replay              history through the same tasks: sources, joining, sweeping, scoring, the report
    contracts           what records look like, learnt from history and held against it
    profile             what training data look like: mergeable counts of every feature, and the document of them
    handlers            who is told of alerts: subscribers in Python, and those that a configuration names
    rejected            what could not be used: counted, shown, sent back
    fingerprints        what a serving process says of its environment
    demo                a story to try it all on
    doctor              whether a worker would run well here, before it runs
    bench               how fast all of it is on this machine
    cli                 the command line

    >>> import streamguard
    >>> print(streamguard.check_drift(["a", "b", "b", "b"], ["a", "b", "b", "a"], threshold=50))
    No drift: 25.0% of 4 predictions differ from their labels (95% interval 4.6% to 69.9%), within the threshold of 50%.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamguard.check import CheckInputError, DriftResult, check_drift
from streamguard.errors import CommitLostError, ConfigError, LogError, StreamguardError

if TYPE_CHECKING:
    from streamguard.fingerprints.api import fingerprint
    from streamguard.handlers.alert import Alert
    from streamguard.handlers.functions import on_alert
    from streamguard.handlers.sink import PermanentError
    from streamguard.handlers.subscriber import Subscriber
    from streamguard.replay.api import backtest

__all__ = [
    "Alert",
    "CheckInputError",
    "CommitLostError",
    "ConfigError",
    "DriftResult",
    "LogError",
    "PermanentError",
    "StreamguardError",
    "Subscriber",
    "backtest",
    "check_drift",
    "fingerprint",
    "on_alert",
]

# Imports that `check_drift` does not need, and that take a second.
_LATER = {
    "Alert": "streamguard.handlers.alert",
    "PermanentError": "streamguard.handlers.sink",
    "Subscriber": "streamguard.handlers.subscriber",
    "backtest": "streamguard.replay.api",
    "fingerprint": "streamguard.fingerprints.api",
    "on_alert": "streamguard.handlers.functions",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_LATER]
