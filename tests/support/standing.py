"""A clock that tests move by hand."""


class Time:
    """A clock that stands still unless it is told: change ``now``."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now
