"""The store that a configuration names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamguard.config import Config
from streamguard.errors import ConfigError

if TYPE_CHECKING:
    from streamguard.stores.rocks import RocksStore


@contextmanager
def opened_store(config: Config) -> "Iterator[RocksStore | None]":
    """Open it, and let go of it at the end; None where everything is kept in memory."""
    directory = config.join.store.directory
    if directory is None:
        yield None
        return
    try:
        # An extra, and memory that others need not pay.
        from streamguard.stores.rocks import RocksStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "rocksdict":
            raise
        raise ConfigError('join.store.directory needs RocksDB: pip install "rocksdict>=0.3.29"') from None
    owner = f"{config.log.group} {config.predictions_topic} {config.labels_topic}"
    store = RocksStore(Path(directory), owner)
    try:
        yield store
    finally:
        store.close()
