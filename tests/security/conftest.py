"""Security: real workers, as in the scenarios."""

from tests.scenario.conftest import ground, make_ground

__all__ = ["ground", "make_ground"]
