"""The log without a broker: one SQLite file, shared by any number of processes of one machine.

file: connection, schema, transactions, errors · lease: one worker a group · topics: what exists, and where
it starts and ends · writing, reading: records · session: one worker · log: what the outside sees.
"""

from streamguard.logs.embedded.log import EmbeddedLog
from streamguard.logs.embedded.session import EmbeddedSession

__all__ = ["EmbeddedLog", "EmbeddedSession"]
