"""Calling the endpoints of models now and then: what they answer, how soon, of which form; never what is in it.

Read `calling` for one call, `schedule` for when, and `prober` for the threads. What the results mean is judged by
`streamguard.core.environment.endpoints`.
"""

from streamguard.probing.calling import probe
from streamguard.probing.prober import Prober
from streamguard.probing.schedule import Schedule
from streamguard.probing.target import Target

__all__ = ["Prober", "Schedule", "Target", "probe"]
