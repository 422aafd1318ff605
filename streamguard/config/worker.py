"""The worker as a process: where it answers questions about itself, and when it gives itself up."""

from pydantic import Field as Setting

from streamguard.config.base import Section
from streamguard.config.types import Duration, Port, Text


class Http(Section):
    """Where a worker says how it is: /livez, /readyz and /metrics."""

    host: Text = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's, where probes and Prometheus come from outside.
    Default 127.0.0.1."""
    port: Port | None = None
    """TCP port to listen on; 0: any free one, which the log names. Null: none, since several workers may share
    one machine and one file."""


class Watchdog(Section):
    """When a worker that has stopped working ends itself with exit code 3, to be started again."""

    stalled_after_ms: Duration | None = Setting(default=60_000, alias="stalled_after", gt=0)
    """How long a partition with records left may bring none before the worker joins the group again; it ends
    where that does not help. Null: for ever. Default 1m."""
    hung_after_ms: Duration | None = Setting(default=300_000, alias="hung_after", gt=0)
    """How long one step of the loop may take before the worker ends. A commit has a limit of its own, 50 s above
    `log.transaction_timeout`. Null: for ever. Default 5m."""
