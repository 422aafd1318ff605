"""Everything streamguard raises on purpose. Any other exception is a bug in streamguard."""


class StreamguardError(Exception):
    """What went wrong, where, with which value, and how to mend it; shown without a traceback."""

    exit_code = 1


class ConfigError(StreamguardError):
    """The configuration, or how a command was called, is wrong."""

    exit_code = 2


class LogError(StreamguardError):
    """A log cannot be reached, or refuses what is asked of it."""

    exit_code = 3


class UnusableError(LogError):
    """What a log holds cannot be gone on from: trying again is of no use, somebody must decide."""


class CommitLostError(LogError):
    """A transaction did not commit, or nobody can say whether it did: go back to what is committed."""


class FencedError(CommitLostError):
    """Another worker of the same name has taken over; or a request of our own arrived late."""
