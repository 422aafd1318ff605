"""Quix Streams, measured; see benchmarks/peers/README.md."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from benchmarks.peers.harness import main, python_peer

if __name__ == "__main__":
    main(python_peer("quix", HERE))
