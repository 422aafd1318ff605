"""What `streamguard demo` shows: real data, a frozen model, and a fault at a known prediction."""

from streamguard.demo.stream import Story, story

__all__ = ["Story", "story"]
