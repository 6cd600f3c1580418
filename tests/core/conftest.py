"""Settings of Hypothesis for the tests of the core."""

from hypothesis import settings

# A busy machine is no failure: what must be quick is measured by the bench.
settings.register_profile("core", deadline=None)
settings.load_profile("core")
