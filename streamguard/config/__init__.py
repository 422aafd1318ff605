"""Everything that can be set: what there is, in which unit, with which default, and what it means.

Read `models`, `log`, `inputs`, `monitors` and `worker` for the settings. `document`, `environment` and `loading` bring
a file to them, `report` puts what is wrong into words, and `output` is the way back to text.
"""

from streamguard.config.backtest import Alternative, Backtest, Mode
from streamguard.config.inputs import Join, LabelFields, Labels, PredictionFields, Predictions
from streamguard.config.loading import load, parse
from streamguard.config.log import EmbeddedLog, KafkaLog, Sasl, Security
from streamguard.config.models import Alerts, Config, Limits, Logging, Outcomes, Rejected, State
from streamguard.config.monitors import Monitor
from streamguard.config.output import schema, show
from streamguard.config.serving import Environment, EnvironmentBaseline
from streamguard.config.types import Field
from streamguard.config.variants import Variant, variants
from streamguard.config.worker import Http, Watchdog

__all__ = [
    "Alerts",
    "Alternative",
    "Backtest",
    "Config",
    "EmbeddedLog",
    "Environment",
    "EnvironmentBaseline",
    "Field",
    "Http",
    "Join",
    "KafkaLog",
    "LabelFields",
    "Labels",
    "Limits",
    "Logging",
    "Mode",
    "Monitor",
    "Outcomes",
    "PredictionFields",
    "Predictions",
    "Rejected",
    "Sasl",
    "Security",
    "State",
    "Variant",
    "Watchdog",
    "load",
    "parse",
    "schema",
    "show",
    "variants",
]
