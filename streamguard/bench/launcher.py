"""Starts commands side by side and measures them: run as a file, it imports nothing but the standard library.

A child's peak memory counts what its parent held when it began, so that whoever measures must be small itself.
Reads `[[output file, argument, ...], ...]` from stdin, and prints what each took.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Run them until all have ended."""
    commands = json.load(sys.stdin)
    processes = {}
    began = time.monotonic()
    for number, (output, *command) in enumerate(commands):
        with Path(output).open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        processes[process.pid] = number
    ended = []
    while processes:
        pid, status, usage = os.wait4(-1, 0)
        ended.append(
            {
                "number": processes.pop(pid),
                "exit_code": os.waitstatus_to_exitcode(status),
                "seconds": time.monotonic() - began,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "peak_mb": usage.ru_maxrss / 1024,
            }
        )
    json.dump(sorted(ended, key=lambda each: each["number"]), sys.stdout)


if __name__ == "__main__":
    main()
