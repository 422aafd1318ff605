"""What holds for all tests."""

from hypothesis import settings

# A deadline would time the machine, not the code.
settings.register_profile("streamguard", deadline=None, print_blob=True)
settings.load_profile("streamguard")
