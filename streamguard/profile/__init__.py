"""What data look like, in bounded memory: profiles of training data, to hold production against."""

from streamguard.profile.building import build
from streamguard.reference.document import Profile

__all__ = ["Profile", "build"]
