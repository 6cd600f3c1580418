"""Schedules: their ticks become jobs, each once, whatever other supervisors do."""

import logging
from collections.abc import Callable, Collection
from typing import Final

from jobq.core.clock import Clock
from jobq.core.ids import make_job_id
from jobq.core.lines import queue_of
from jobq.core.numbers import ms_of
from jobq.core.schedule import Due, due_ticks
from jobq.core.signing import SCHEDULE, Signer
from jobq.errors import CallTooNew, CallUntrusted
from jobq.runtime.declaring import GRACE, Declarer
from jobq.runtime.hello import Hello
from jobq.runtime.known import Known, Timetable
from jobq.runtime.outcomes import Recorder
from jobq.runtime.rounds import Part
from jobq.runtime.steps import Steps
from jobq.store.ops import schedules
from jobq.store.ops.schedules import Ticked
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Ticks that are worked out in one round: a cron expression takes a quarter of a millisecond.
MOST_TICKS: Final = 50

#: Jobs, and bytes of calls, that one step adds: Redis does nothing else meanwhile.
MOST_JOBS: Final = 50
MOST_BYTES: Final = 4 * 1024 * 1024

#: Seconds that a schedule rests after Redis has refused its tick.
REFUSED: Final = 1.0

#: Seconds between looks at whether the job that a tick waits for has ended.
LOOK_FOR_END: Final = 0.1

#: Earlier than this, Redis time in ms is not known yet.
_KNOWN_TIME: Final = 1e11


class Scheduler(Part):
    """Ticks the schedules of the queues that the supervisor's workers read.

    Which ticks are due is worked out here; a script makes their jobs, if the tick is still the
    one that it was thought to be. So it does not matter how many supervisors do it, nor where one
    of them is killed.

    Args:
        queues: tells the queues.
        now_ms: Redis time.
        clock: monotonic.
        grace: seconds for which a schedule that its app no longer declares is kept.
    """

    def __init__(
        self,
        queues: Callable[[], Collection[str]],
        now_ms: Callable[[], float],
        clock: Clock,
        grace: float = GRACE,
    ) -> None:
        self._queues = queues
        self._now_ms = now_ms
        self._clock = clock
        self._steps = Steps()
        self._table = Timetable(self._steps, clock)
        self._declarer = Declarer(self._steps, self._table, now_ms, clock, grace)
        self._recorder = Recorder(self._steps, clock)
        self._signer: Signer | None = None
        #: The job functions that our workers know; None: not told yet.
        self._jobs: frozenset[str] | None = None
        self._told: set[tuple[str, str, str]] = set()
        self._failure = ""

    def met(self, hello: Hello) -> None:
        """Take in what a worker said: what its app declares, and the keys that it signs with."""
        self._signer = hello.declared.signer()
        self._jobs = frozenset(hello.jobs)
        self._declarer.met(hello.declared)
        for known in self._table:
            known.blocked = False

    def ops(self) -> list[AnyOp]:
        """See `Part`."""
        if self._now_ms() < _KNOWN_TIME:
            return []
        try:
            self._plan(tuple(self._queues()))
        except Exception as error:  # what else the supervisor does must go on
            if (said := repr(error)) != self._failure:
                self._failure = said
                log.exception("failed to look after schedules")
        return self._steps.take()

    def _plan(self, queues: tuple[str, ...]) -> None:
        self._declarer.declare(queues)
        self._table.keep_up(queues)
        self._tick()
        self._recorder.look(self._table)

    def read(self, answers: Answers) -> None:
        """See `Part`."""
        self._steps.read(answers)
        self.next_ms = 0.0 if self._steps else self._next()

    # how it is done

    def _next(self) -> float | None:
        """Return when the next tick is, Redis time in ms."""
        now = self._clock.monotonic()
        return min(
            (
                known.fires_ms
                for known in self._table
                if known.fires_ms is not None and self._is_free(known, now)
            ),
            default=None,
        )

    def _tick(self) -> None:
        now, now_ms = self._clock.monotonic(), self._now_ms()
        worked_out = 0
        for known in self._table:
            if not self._is_free(known, now):
                continue
            if known.fires_ms is not None and known.fires_ms <= now_ms:
                if worked_out == MOST_TICKS:
                    break
                worked_out += 1
                self._begin(known)
            elif known.waiting and known.fires_ms is not None:
                known.rests_until = now + LOOK_FOR_END
                self._with_call(known, self._make_next)

    def _begin(self, known: Known) -> None:
        try:
            due = due_ticks(known.rule.schedule, int(known.tick), int(self._now_ms()))
        except Exception as error:  # whatever a stranger wrote, the others go on
            log.exception("left out schedule schedule=%s queue=%s", known.name, known.queue)
            self._note(known, f"its next tick cannot be worked out: {error!r}")
            return
        if not due.fire and not due.skipped:  # a stranger wrote when it fires, or its jitter
            known.rests_until = self._clock.monotonic() + REFUSED
            return
        self._with_call(known, lambda one, call: self._make(one, call, due))

    def _with_call(self, known: Known, act: Callable[[Known, bytes], None]) -> None:
        """Do something with the call of a schedule; empty, where Redis can take the stored one."""
        if self._signer is None:
            if known.rule.signed:
                self._leave(known, "its call is signed, and this worker has no signing keys")
            else:
                act(known, b"")
            return
        known.busy = True

        def read(call: bytes) -> None:
            known.busy = False
            if (opened := self._open(known, call)) is not None:
                act(known, opened)

        op = schedules.stored_call(known.queue, known.name)
        self._steps.add(op, read, self._refused(known))

    def _open(self, known: Known, call: bytes) -> bytes | None:
        """Return the call inside a stored one, if it can be trusted."""
        if self._signer is None:
            return None
        try:
            signed_for = f"{SCHEDULE}{known.name}".encode()
            opened = self._signer.open(known.queue, signed_for, call)
            known.unsigned = opened is call
            return opened
        except CallTooNew as error:
            self._leave(known, str(error))
        except CallUntrusted as error:
            said = f"its call is not trusted: {error.reason}"
            if self._is_new(known):
                log.error(  # noqa: TRY400
                    "left out schedule schedule=%s queue=%s error=%s "
                    "fix='add it again, by who has the signing keys, or: jobq schedule remove'",
                    known.name,
                    known.queue,
                    said,
                )
            self._note(known, said)
        return None

    def _note(self, known: Known, problem: str) -> None:
        """Leave a schedule alone until it changes, and let those who look at it know why."""
        known.blocked = True
        op = schedules.problem(known.queue, known.name, known.revision, problem)
        self._steps.add(op, lambda _: None)

    def _leave(self, known: Known, why: str) -> None:
        """Leave a schedule to other supervisors."""
        known.blocked = True
        if self._is_new(known):
            log.warning("left schedule to others schedule=%s reason=%s", known.name, why)

    def _is_new(self, known: Known) -> bool:
        """Tell whether this is the first word about a schedule as it is now."""
        this = known.queue, known.name, known.revision
        if this in self._told:
            return False
        self._told.add(this)
        return True

    def _make(self, known: Known, call: bytes, due: Due) -> None:
        """Make the jobs of due ticks; those that are too many for one step, in later rounds."""
        rule = known.rule
        size = max(1, min(MOST_JOBS, MOST_BYTES // (len(call) or 1)))
        fire = due.fire[:size]
        after = due.fire[size] if len(due.fire) > size else due.next
        next_one = after, rule.schedule.fires_at(after)
        jobs = [(tick, *self._job(known, call)) for tick in fire]
        op = schedules.tick(rule, known.revision, known.tick, next_one, jobs, due.skipped)
        known.busy = True

        def read(answer: Ticked) -> None:
            known.busy = False
            self._ticked(known, answer, next_one)
            if due.skipped and answer.code == 1:
                log.warning(
                    "missed ticks schedule=%s ticks=%d making=%d", rule.name, due.skipped, len(fire)
                )

        self._steps.add(op, read, self._refused(known))

    def _ticked(self, known: Known, answer: Ticked, next_one: tuple[int, int]) -> None:
        known.watch = True
        if answer.code == 1:
            known.tick, known.fires_ms = str(next_one[0]), float(next_one[1])
            known.waiting = answer.waiting
        elif answer.code == -1:  # our time is ahead of Redis's by a little
            known.fires_ms = float(answer.tick)
        elif answer.revision == known.revision and ms_of(answer.tick):
            tick = int(answer.tick)  # another supervisor was quicker
            known.tick, known.fires_ms = answer.tick, known.rule.schedule.fires_at(tick)
        else:
            known.fires_ms = None
            self._table.read_again(known.queue)

    def _make_next(self, known: Known, call: bytes) -> None:
        known.busy = True

        def read(waiting: int) -> None:
            known.busy = False
            known.watch = True
            known.waiting = max(0, waiting)
            if waiting < 0:
                self._table.read_again(known.queue)

        op = schedules.make_next(known.rule, known.revision, *self._job(known, call))
        self._steps.add(op, read, self._refused(known))

    def _job(self, known: Known, call: bytes) -> tuple[str, bytes]:
        """Return the id of a new job and its call."""
        rule, job_id = known.rule, make_job_id()
        if self._signer is None:
            return job_id, b""
        if known.unsigned:  # taken as it is for now; signed, it would be good for ever
            return job_id, call
        return job_id, self._signer.sign(queue_of(rule.line), job_id, call)

    def _refused(self, known: Known) -> Callable[[], None]:
        def refused() -> None:
            known.busy = False
            known.rests_until = self._clock.monotonic() + REFUSED

        return refused

    def _is_free(self, known: Known, now: float) -> bool:
        """Tell whether a schedule can tick from here, now.

        One whose job function our workers do not know is left to supervisors whose workers do, for
        its jobs would only wait for those.
        """
        if known.busy or known.blocked or now < known.rests_until:
            return False
        return self._jobs is None or known.rule.job in self._jobs
