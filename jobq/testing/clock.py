"""A clock that tests can move: the time of all that jobq decides in Redis."""

from datetime import datetime

from jobq.client.app import JobQ
from jobq.client.rows import moment
from jobq.core.clock import SystemClock
from jobq.core.duration import Duration, seconds
from jobq.errors import OptionError
from jobq.store.clock import move, obey_test_clock
from jobq.store.ops.upkeep import time_ms


class ManualClock:
    """The clock of an app's Redis, which a test can move forward.

    From its making on, this process obeys it. Workers in other processes do so when they are
    started with ``JOBQ_TEST_CLOCK=1`` in their environment. Never use it on a Redis that does
    real work: the jobs that this process adds would be of another time than that of its workers.

    Args:
        app: whose Redis.
    """

    def __init__(self, app: JobQ) -> None:
        obey_test_clock()
        self._app = app

    def now(self) -> datetime:
        """Return what time it is, in UTC."""
        return moment(self.now_ms())

    def now_ms(self) -> int:
        """Return what time it is, in milliseconds since 1970."""
        return self._app.store.run(time_ms())

    def travel(self, by: Duration) -> datetime:
        """Move the clock forward, at once; return what time it is then.

        What becomes due meanwhile becomes due at that one moment: a schedule has missed its
        ticks. `Session.travel` stops at each of them.

        Args:
            by: seconds, a timedelta or text such as ``"2h"``.

        Raises:
            OptionError: it is not a duration, or negative: time only goes forward.
        """
        self.move(milliseconds(by))
        return self.now()

    def travel_to(self, when: datetime) -> datetime:
        """Move the clock forward to a moment. See `travel`.

        Args:
            when: an aware datetime.

        Raises:
            OptionError: it is naive, or in the past.
        """
        self.move(check_moment(when, self.now_ms()) - self.now_ms())
        return self.now()

    def move(self, ms: int) -> None:
        """Move the clock forward by milliseconds; nothing if they are negative."""
        if ms > 0:
            self._app.store.run(move(ms))


class MovedClock(SystemClock):
    """The clock of an app whose Redis has another time than this machine."""

    __slots__ = ("_app",)

    def __init__(self, app: JobQ) -> None:
        self._app = app

    def time(self) -> float:
        """Return the time of its Redis."""
        return self._app.store.run(time_ms()) / 1000


def milliseconds(by: Duration) -> int:
    """Return a duration in whole milliseconds, rounded up.

    Raises:
        OptionError: it is not a duration, or negative.
    """
    try:
        given = seconds(by, what="travel()")
    except OptionError as error:
        raise OptionError(
            f"{error} Time only goes forward: start the test earlier instead of going back."
        ) from None
    return -int(-given * 1000 // 1)


def check_moment(when: datetime, now_ms: int) -> int:
    """Return a moment in milliseconds since 1970.

    Raises:
        OptionError: it is no aware datetime, or it is past.
    """
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise OptionError(
            f"travel_to() got {when!r}; it takes an aware datetime, such as "
            "datetime(2030, 1, 1, tzinfo=UTC)"
        )
    ms = int(when.timestamp() * 1000)
    if ms < now_ms:
        raise OptionError(
            f"travel_to() got {when}, and it is {moment(now_ms)} already. Time only goes forward: "
            "take a moment that is still to come."
        )
    return ms
