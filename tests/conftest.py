"""What holds for every test."""

from hypothesis import settings

# A loaded machine is slow: how long an example takes says nothing about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
