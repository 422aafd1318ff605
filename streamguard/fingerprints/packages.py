"""What is installed: names and versions of distributions."""

import os
import re
import sys
from importlib import metadata

from streamguard.fingerprints.secrets import harmless

_PACKAGES_MAX = 4000
_NAME_CHARS = 300
_VERSION_CHARS = 100


class Packages:
    """Distributions on `sys.path`. They are looked for again only where a directory of it has changed."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, int]] | None = None
        self._found: dict[str, str] = {}

    def installed(self) -> dict[str, str]:
        """By normalized name, the version; of two of a name that which is imported, the first."""
        seen = [(path, stamp) for path in sys.path if (stamp := _stamp(path)) is not None]
        if seen != self._seen:
            self._found = dict(sorted(_distributions().items()))
            self._seen = seen
        return self._found


def _stamp(path: str) -> int | None:
    try:
        return os.stat(path or ".").st_mtime_ns  # noqa: PTH116 - an entry of sys.path, which may be empty
    except OSError:
        return None


def _distributions() -> dict[str, str]:
    found: dict[str, str] = {}
    for each in metadata.distributions():
        try:
            name, version = each.metadata["Name"], each.version
        except (OSError, KeyError, ValueError, TypeError, AttributeError):
            continue  # half of one, left behind by an uninstallation
        if name and version and len(found) < _PACKAGES_MAX:
            found.setdefault(
                re.sub(r"[-_.]+", "-", str(name)).lower()[:_NAME_CHARS], harmless(str(version)[:_VERSION_CHARS])
            )
    return found
