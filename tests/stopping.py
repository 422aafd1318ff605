"""A process that is stopped for a while, as by a hypervisor or a debugger."""

import os
import signal
from subprocess import Popen
from typing import Any


def stop(process: "Popen[Any]") -> None:
    """Send SIGSTOP to a child and wait until every thread of it has stopped: the call alone only asks for it."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
