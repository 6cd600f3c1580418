"""`app.schedules`: standing rules that make jobs, added, looked at and changed at run time."""

from typing import TYPE_CHECKING, TypeAlias, TypeVar, Unpack

from jobq.client.bound import BoundCall
from jobq.client.handle import JobHandle
from jobq.client.late import PLANNING, LateModule
from jobq.client.options import ScheduleOptions
from jobq.client.producer import Producer
from jobq.store.wire import Answer

if TYPE_CHECKING:
    from jobq.client import planning
    from jobq.client.planning import Plan
    from jobq.client.schedule_rows import ScheduleRow
else:
    planning = LateModule(PLANNING)

#: Not in the class, where `list` is a method.
Rows: TypeAlias = "list[ScheduleRow]"

T = TypeVar("T")


class Schedules:
    """The schedules of an app's Redis; `JobQ` has one.

    All of them, whoever declared or added them. Names are looked for in all queues; where two
    queues have a schedule of one name, say which is meant with ``queue=``.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def add(self, name: str, call: BoundCall[T], **when: Unpack[ScheduleOptions]) -> None:
        """Add a schedule, or replace the one of that name: kept until it is removed.

        To add the same again changes nothing, so a program may do it at each start. One whose
        ``cron``, ``every``, ``tz`` and ``jitter`` stay as they were keeps its next tick.

        Args:
            name: 1 to 100 printable ASCII characters without spaces and braces.
            call: what its jobs do: ``function.s(...)``.
            when: see `jobq.client.options.ScheduleOptions`.

        Raises:
            OptionError: an option is unknown or cannot take its value, or the call has options
                that make no sense in a schedule, such as ``delay``.
            ConfigError: the code of an app declares a schedule of that name.
            StoreError: Redis refused, or cannot be reached.
        """
        self._run(planning.add(self._producer, name, call, when))

    async def aadd(self, name: str, call: BoundCall[T], **when: Unpack[ScheduleOptions]) -> None:
        """See `add`."""
        await self._arun(planning.add(self._producer, name, call, when))

    def remove(self, name: str, queue: str | None = None) -> None:
        """Remove a schedule and its past; jobs that it has made are left alone.

        Raises:
            ScheduleNotFound: there is none of that name.
            ConfigError: the code of an app declares it: it would come back.
            StoreError: Redis refused, or cannot be reached.
        """
        self._run(planning.remove(name, queue))

    async def aremove(self, name: str, queue: str | None = None) -> None:
        """See `remove`."""
        await self._arun(planning.remove(name, queue))

    def pause(self, name: str, queue: str | None = None) -> bool:
        """Pause a schedule until `resume`; ticks in between are not made up for.

        Returns:
            False when it was paused already.

        Raises:
            ScheduleNotFound: there is none of that name.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._run(planning.pause(name, queue))

    async def apause(self, name: str, queue: str | None = None) -> bool:
        """See `pause`."""
        return await self._arun(planning.pause(name, queue))

    def resume(self, name: str, queue: str | None = None) -> bool:
        """Let a schedule go on with its next tick from now on.

        Returns:
            False when it was not paused.

        Raises:
            ScheduleNotFound: there is none of that name.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._run(planning.resume(name, queue))

    async def aresume(self, name: str, queue: str | None = None) -> bool:
        """See `resume`."""
        return await self._arun(planning.resume(name, queue))

    def run_now(self, name: str, queue: str | None = None) -> JobHandle[object]:
        """Make a job of a schedule at once, paused or not; its ticks stay as they are.

        Raises:
            ScheduleNotFound: there is none of that name.
            CallUntrusted: its call is not signed by who has the app's signing keys.
            ConfigError: its call is signed, and there are no keys here.
            StoreError: Redis refused, or cannot be reached.
        """
        return JobHandle(self._producer, *self._run(planning.run_now(self._producer, name, queue)))

    async def arun_now(self, name: str, queue: str | None = None) -> JobHandle[object]:
        """See `run_now`."""
        plan = planning.run_now(self._producer, name, queue)
        return JobHandle(self._producer, *await self._arun(plan))

    def list(self) -> "Rows":
        """List all schedules by name, each with its last tick.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        return self._run(planning.list_all(self._producer))

    async def alist(self) -> "Rows":
        """See `list`."""
        return await self._arun(planning.list_all(self._producer))

    def get(self, name: str, queue: str | None = None) -> "ScheduleRow":
        """Look at one schedule, with its last 100 ticks.

        Raises:
            ScheduleNotFound: there is none of that name.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._run(planning.get(self._producer, name, queue))

    async def aget(self, name: str, queue: str | None = None) -> "ScheduleRow":
        """See `get`."""
        return await self._arun(planning.get(self._producer, name, queue))

    def _run(self, plan: "Plan[T]") -> T:
        answer: Answer = None
        try:
            while True:
                answer = self._producer.store.run(plan.send(answer))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _arun(self, plan: "Plan[T]") -> T:
        answer: Answer = None
        while True:
            try:
                op = plan.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = await self._producer.aio.store.run(op)
