"""What tests of probes need."""

from tests.handlers.conftest import _logging, certificate

__all__ = ["_logging", "certificate"]
