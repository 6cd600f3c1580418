"""Queues in the hands of a program: `JobQ.queue` makes them. Imported at the first one."""

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime
from getpass import getuser
from time import sleep
from typing import Final, Literal, Protocol

from jobq.client.producer import Producer
from jobq.client.rows import Pause, pause_row
from jobq.client.sweep import STATES, Choice, Moved, Sweep
from jobq.core.checks import check_queue
from jobq.core.clock import Clock, SystemClock
from jobq.core.duration import Duration, seconds
from jobq.core.hints import shown
from jobq.core.pauses import pausing
from jobq.core.placing import check_at
from jobq.errors import OptionError
from jobq.store.ops import enqueue, inspect, pause
from jobq.store.ops.inspect import Counted
from jobq.store.wire import Op

State = Literal["ready", "delayed", "retrying"]

#: Seconds between two looks at what still runs.
_LOOK: Final = 0.1


class Named(Protocol):
    """What has the name of a job function: `JobFunction` has."""

    @property
    def name(self) -> str:
        """The name by which its jobs name it."""
        ...


#: A job function, or its name.
Job = str | Named


class Queue:
    """One queue: pause and resume it, count, purge, move and drain what is in it.

    Attributes:
        name: the name of the queue.

    Raises:
        OptionError: no queue can have that name.
    """

    def __init__(self, producer: Producer, name: str, clock: Clock = SystemClock()) -> None:
        self.name: Final = check_queue(name)
        self._producer = producer
        self._clock = clock

    def pause(
        self,
        job: Job | None = None,
        *,
        for_: Duration | None = None,
        until: datetime | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> None:
        """Pause the queue: from now on no worker starts any of its jobs; those that run go on.

        Every worker of every host has heard of it within 100 ms. Jobs can still be enqueued, and
        wait. It holds over restarts of Redis and of workers, until `resume` or its end. To pause
        what is paused changes its end, reason and author.

        Args:
            job: only the jobs of this job function, or of the one of this name.
            for_: how long: seconds, a timedelta or text such as ``"10m"``.
            until: when it ends by itself, an aware datetime.
            reason: shown wherever jobs wait because of it.
            by: who does it; user and host of this process if not given.

        Raises:
            OptionError: an argument cannot take its value, or both ends were given.
            StoreError: Redis refused, or cannot be reached.
        """
        op = self._pause_op(job, for_, until, reason, by)
        self._producer.store.run(enqueue.register_queue(self.name))
        _check_paused(self._producer.store.run(op))

    async def apause(
        self,
        job: Job | None = None,
        *,
        for_: Duration | None = None,
        until: datetime | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> None:
        """See `pause`."""
        op = self._pause_op(job, for_, until, reason, by)
        await self._producer.aio.store.run(enqueue.register_queue(self.name))
        _check_paused(await self._producer.aio.store.run(op))

    def resume(self, job: Job | None = None) -> bool:
        """End the pause of the queue, or that of one job function; the other kind stays.

        What waited starts within 100 ms, in its old order as far as possible.

        Returns:
            False when there was none.

        Raises:
            OptionError: that is no job function.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._producer.store.run(pause.resume(self.name, _name(job)))

    async def aresume(self, job: Job | None = None) -> bool:
        """See `resume`."""
        return await self._producer.aio.store.run(pause.resume(self.name, _name(job)))

    def pauses(self) -> tuple[Pause, ...]:
        """Return what is paused, the whole queue first.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        records = self._producer.store.run(pause.read(self.name))
        return tuple(map(pause_row, records))

    async def apauses(self) -> tuple[Pause, ...]:
        """See `pauses`."""
        records = await self._producer.aio.store.run(pause.read(self.name))
        return tuple(map(pause_row, records))

    def is_paused(self, job: Job | None = None) -> bool:
        """Tell whether the queue is paused, or the jobs of a job function are, in either way.

        Raises:
            OptionError: that is no job function.
            StoreError: Redis refused, or cannot be reached.
        """
        return pausing(self._producer.store.run(pause.read(self.name)), _name(job)) is not None

    def size(self) -> int:
        """Count the jobs that have not ended: those that wait, and those that run.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        return _size(self._producer.store.run(inspect.count(self.name)))

    async def asize(self) -> int:
        """See `size`."""
        return _size(await self._producer.aio.store.run(inspect.count(self.name)))

    def purge(
        self,
        *,
        job: Job | None = None,
        states: Sequence[State] = STATES,
        older: Duration = 0,
    ) -> int:
        """Cancel the jobs that wait now; never those that run, nor dead letters.

        Who waits for the result of one gets `JobCancelled`.

        Args:
            job: only those of this job function, or of the one of this name.
            states: only those in these states.
            older: only those that were enqueued so long ago.

        Returns:
            How many were cancelled.

        Raises:
            OptionError: an argument cannot take its value.
            StoreError: Redis refused, or cannot be reached.
        """
        sweep = self._sweep()
        return sweep.purge(self._choice(sweep, job, states, older))

    def move(
        self,
        to: str,
        *,
        job: Job | None = None,
        states: Sequence[State] = STATES,
        older: Duration = 0,
    ) -> Moved:
        """Move the jobs that wait now to another queue: with id, call, delay, priority, history.

        No job is lost, whoever dies: what is not finished comes back after a minute, or is
        finished by moving again. A moved job holds its uniqueness no longer, and handles from
        before look for it where it was: ``app.handle(id)`` finds it.

        Args:
            to: the other queue.
            job: only those of this job function, or of the one of this name.
            states: only those in these states.
            older: only those that were enqueued so long ago.

        Raises:
            ConfigError: calls are signed, and the app has no key to sign them with anew.
            OptionError: an argument cannot take its value.
            StoreError: Redis refused, or cannot be reached.
        """
        if check_queue(to) == self.name:
            raise OptionError(f"to is {to!r}, which is this queue")
        sweep = self._sweep()
        return sweep.move(self._choice(sweep, job, states, older), to)

    def drain(self, timeout: Duration | None = None, *, reason: str = "drain") -> int:
        """Pause the queue, and wait until none of its jobs runs any more. It stays paused.

        Args:
            timeout: how long to wait; None: until that is so.
            reason: of the pause, unless the queue is paused already.

        Returns:
            How many jobs still run, which is 0 unless the time is over.

        Raises:
            OptionError: the timeout is no duration.
            StoreError: Redis refused, or cannot be reached.
        """
        limit = None if timeout is None else seconds(timeout, what="timeout")
        ends = None if limit is None else self._clock.monotonic() + limit
        if not self.is_paused():
            self.pause(reason=reason)
        while True:
            running = self._producer.store.run(inspect.count(self.name)).running
            if not running or (ends is not None and self._clock.monotonic() >= ends):
                return running
            sleep(_LOOK)

    async def adrain(self, timeout: Duration | None = None, *, reason: str = "drain") -> int:
        """See `drain`."""
        return await asyncio.to_thread(self.drain, timeout, reason=reason)

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    def _pause_op(
        self,
        job: Job | None,
        for_: Duration | None,
        until: datetime | None,
        reason: str,
        by: str | None,
    ) -> Op[int]:
        if for_ is not None and until is not None:
            raise OptionError("for_ and until are both given; use one of them")
        span = None if for_ is None else seconds(for_, what="for_", minimum=0.001)
        return pause.pause(
            self.name,
            _name(job),
            for_=span,
            until_ms=0 if until is None else _until(until),
            by=whoever() if by is None else by,
            reason=reason,
        )

    def _sweep(self) -> Sweep:
        return Sweep(self._producer.store, self._producer.signer)

    def _choice(
        self, sweep: Sweep, job: Job | None, states: Sequence[State], older: Duration
    ) -> Choice:
        if isinstance(states, str) or not set(states) <= set(STATES):
            raise OptionError(f"states is {shown(states)}; use some of {', '.join(STATES)}")
        age = seconds(older, what="older")
        return sweep.choose(self.name, job=_name(job), states=states, older=age)


def whoever() -> str:
    """Return who this process belongs to: user and host."""
    try:
        user = getuser()
    except (OSError, KeyError, ImportError):  # a container's user id that has no name
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def _name(job: Job | None) -> str | None:
    if job is None or isinstance(job, str):
        return job
    name: object = getattr(job, "name", None)
    if not isinstance(name, str):
        raise OptionError(f"job is {shown(job)}; use a job function or its name")
    return name


def _until(value: datetime) -> int:
    try:
        at = check_at(value)
    except OptionError as error:
        raise OptionError(str(error).replace("at is", "until is", 1)) from None
    assert at is not None  # a moment was given
    return at


def _check_paused(answer: int) -> None:
    if answer == pause.IS_OVER:
        raise OptionError("until is over already")
    if answer == pause.TOO_MANY:
        raise OptionError(
            f"{pause.MOST} pauses are as many as a queue may have; pause the whole queue, "
            "or resume some"
        )


def _size(counted: Counted) -> int:
    return counted.ready + counted.running + counted.retrying + counted.delayed
