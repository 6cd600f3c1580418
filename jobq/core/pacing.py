"""How dead letters are brought back a few at a time, and when that is stopped: decided here."""

import math
import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from jobq.errors import OptionError

#: The last verdicts that are judged together: what went well an hour ago says little by now.
WINDOW: Final = 100

#: Verdicts before which nothing is judged, but for the canary: of one or two, each is half of all.
SAMPLE: Final = 10

#: Seconds of the rate that may have no verdict yet while failures are counted, and at least so
#: many jobs: whoever runs far ahead of what is known cannot be stopped in time.
AHEAD: Final = 10.0
LEAST_AHEAD: Final = 100
#: The same where there is no rate.
MOST_AHEAD: Final = 1000

#: Jobs that are brought back in one step at most.
MOST: Final = 500

#: Seconds between two looks at what became of them, and between two steps of a rate at least.
LOOK: Final = 0.2
STEP: Final = 0.02

#: Seconds of a rate that may be caught up with after a pause of the program or of Redis.
CATCH_UP: Final = 1.0

_RATE: Final = re.compile(
    r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|sec|second|m|min|minute|h|hour)\s*", re.ASCII
)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_SHARE: Final = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%\s*", re.ASCII)

#: Jobs in a second: more than any Redis takes.
_MOST_RATE: Final = 1e6


def parse_rate(text: str) -> float:
    """Read ``10/s``, ``600/min`` or ``5/h``; the answer is jobs in a second.

    Raises:
        OptionError: it is none.
    """
    found = _RATE.fullmatch(text.lower())
    if found is not None:
        rate = float(found[1]) / _SECONDS[found[2][0]]
        if 0 < rate <= _MOST_RATE:
            return rate
    raise OptionError(f"{text[:40]!r} is no rate; use 10/s, 600/min or 5/h")


def parse_share(text: str) -> float:
    """Read ``20%``; the answer is between 0 and 1.

    Raises:
        OptionError: it is none.
    """
    found = _SHARE.fullmatch(text)
    if found is not None and (share := float(found[1]) / 100) <= 1:
        return share
    raise OptionError(f"{text[:40]!r} is no share; use 20%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How dead letters are brought back.

    Attributes:
        rate: jobs in a second; None: as fast as it goes.
        canary: so many first; the others when each of these has ended an attempt.
        limit: the share of failed attempts, between 0 and 1, at which it is stopped; None: of the
            canary nothing may fail, and after it nothing is judged.
        patience: seconds to wait for the next verdict.
    """

    rate: float | None = None
    canary: int = 0
    limit: float | None = None
    patience: float = 600.0

    @property
    def judges(self) -> bool:
        """Whether it matters what becomes of the jobs."""
        return self.canary > 0 or self.limit is not None


@dataclass(frozen=True, slots=True)
class Release:
    """Bring back so many at most."""

    many: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Bring back no more.

    Attributes:
        why: in a few words; empty: all of them are back.
    """

    why: str = ""


Step = Release | Wait | Stop


class Pacer:
    """Says what to do next, from what has been brought back and what became of that.

    Args:
        plan: how.
        now: seconds of a monotonic clock.

    Attributes:
        released: how many were brought back.
        succeeded: of these, how many attempts have ended and had not failed.
        failed: of these, how many attempts have failed.
    """

    def __init__(self, plan: Plan, now: float) -> None:
        self.released: int = 0
        self.succeeded: int = 0
        self.failed: int = 0
        self._plan = plan
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._news = now
        self._no_more = False
        self._canary_passed = plan.canary <= 0
        #: Jobs that may be brought back by the rate, as of a moment.
        self._tokens, self._counted = 1.0, now

    @property
    def open(self) -> int:
        """How many were brought back and have no verdict yet."""
        return self.released - self.succeeded - self.failed

    @property
    def in_canary(self) -> bool:
        """Whether the others wait for the canary."""
        return not self._canary_passed

    def has_released(self, many: int, now: float) -> None:
        """Take in that jobs were brought back."""
        if not self.open:  # nobody was waited for
            self._news = now
        self.released += many
        self._tokens -= many

    def has_no_more(self) -> None:
        """Take in that there is nothing left to bring back."""
        self._no_more = True

    def judged(self, *, failed: bool, now: float) -> None:
        """Take in that the first attempt of a job has ended, one way or the other."""
        self._news = now
        self._window.append(failed)
        if failed:
            self.failed += 1
        else:
            self.succeeded += 1

    def step(self, now: float) -> Step:
        """Return what to do now."""
        if why := self._too_many():
            return Stop(why)
        if self._no_more:
            return self._see_the_last(now)
        if not self._canary_passed:
            if self.released < self._plan.canary:
                return Release(min(MOST, self._plan.canary - self.released))
            if self.open:
                return self._wait(now)
            self._canary_passed = True
            self._tokens, self._counted = 1.0, now
        return self._pace(now)

    def _pace(self, now: float) -> Step:
        most = MOST
        if self._plan.limit is not None:
            most = min(most, self._ahead - self.open)
            if most <= 0:
                return self._wait(now)
        rate = self._plan.rate
        if rate is None:
            return Release(most)
        most_tokens = max(1.0, rate * CATCH_UP)
        self._tokens = min(most_tokens, self._tokens + rate * (now - self._counted))
        self._counted = now
        if self._tokens >= 1:
            return Release(min(most, int(self._tokens)))
        left = (1 - self._tokens) / rate
        return Wait(min(max(STEP, left), LOOK) if self._plan.judges else max(STEP, left))

    @property
    def _ahead(self) -> int:
        if self._plan.rate is None:
            return MOST_AHEAD
        return max(LEAST_AHEAD, math.ceil(AHEAD * self._plan.rate))

    def _too_many(self) -> str:
        """Return why it is to be stopped, as far as failures are why; else nothing."""
        plan = self._plan
        if not self._canary_passed:
            limit = plan.limit or 0.0
            of = plan.canary if not self._no_more else self.released
            if self.failed and self.failed >= limit * of:
                return f"{self.failed:,} of the first {of:,} failed again"
            return ""
        failures = sum(self._window)
        if plan.limit is None or len(self._window) < SAMPLE or not failures:
            return ""
        if failures < plan.limit * len(self._window):
            return ""
        return f"{failures:,} of the last {len(self._window):,} failed again"

    def _see_the_last(self, now: float) -> Step:
        if not self._plan.judges or not self.open:
            return Stop()
        return self._wait(now)

    def _wait(self, now: float) -> Step:
        if now - self._news < self._plan.patience:
            return Wait(LOOK)
        jobs = "1 job has" if self.open == 1 else f"{self.open:,} jobs have"
        return Stop(f"{jobs} not ended an attempt, and none has for {self._plan.patience:g} s")
