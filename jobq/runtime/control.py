"""What a supervisor is told through Redis: jobs to cancel, to drain, to stop."""

import logging
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobq.core.clock import Clock
from jobq.core.job import JobState
from jobq.core.lines import queue_of
from jobq.errors import StoreError
from jobq.runtime.board import CANCEL, LOST, Note, Place, note_name
from jobq.runtime.children import Child, Key
from jobq.runtime.rounds import Part
from jobq.store.ops import control, inspect
from jobq.store.ops.control import CANCEL as CANCEL_JOB
from jobq.store.ops.control import DRAIN, STOP, STOP_NOW, Command
from jobq.store.wire import Answer, Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Seconds that a cancel is remembered while no worker of ours holds the job: its answer may still
#: be on the way to the worker, or have been lost there, so that it is found later.
REMEMBERED: Final = 30.0

#: Milliseconds before the newest command at the start, in which cancels are heeded.
LOOK_BACK: Final = 10_000

#: Cancels that are remembered: what a stranger sends must not fill the memory.
MOST: Final = 10_000


@dataclass(slots=True)
class _Cancel:
    """A job that is to end.

    Attributes:
        job_id: its id.
        queue: its queue.
        where: where it runs, as the index has it; empty: to be looked up.
        until: monotonic seconds after which it is forgotten while nobody holds it.
        noted: by process id, when that worker was told, monotonic seconds; or first should have
            been, where its main thread is in C and has not read what it was told before.
        untold: the processes in which there was no room for it.
        waited: the processes in which it had not been started then.
    """

    job_id: str
    queue: str
    where: str
    until: float
    noted: dict[int, float] = field(default_factory=dict)
    untold: set[int] = field(default_factory=set)
    waited: set[int] = field(default_factory=set)


class Control(Part):
    """Reads the control stream, from the moment the supervisor starts, and cancels jobs.

    Args:
        name: of the supervisor.
        grace: seconds that a job has to end after its cancel.

    Attributes:
        orders: what the supervisor itself was told and has not done yet: ``drain``, ``stop`` or
            ``stop-now``; whoever does it takes it out.
    """

    def __init__(self, name: str, grace: float, clock: Clock) -> None:
        self.orders: list[str] = []
        self._name = name
        self._grace = grace
        self._clock = clock
        self._after: str | None = None
        self._born = (0, 0)
        self._cancels: dict[tuple[str, str], _Cancel] = {}

    def begin_after(self, last: str) -> None:
        """Take in what the newest command is, asked for every now and then.

        What was said before the supervisor started is not for it, but for cancels of a moment ago:
        its workers may have been quicker than itself. A newest command that is older
        than what was read: Redis has lost the stream, and has perhaps another clock.
        """
        if self._after is None:
            self._born = ms, _ = _number(last)
            self._after = f"{max(0, ms - LOOK_BACK)}-0"
        elif _number(last) < _number(self._after):
            # Not from the start: one of our name may have been told to stop, long ago.
            self._born = max(0, _number(last)[0] - LOOK_BACK), 0
            self._after = f"{self._born[0]}-0"

    def ops(self) -> list[AnyOp]:
        """Return what to ask Redis in each round; `read` takes the answers."""
        if self._after is None:
            return []
        unplaced = [one for one in self._cancels.values() if not one.where]
        looks: list[AnyOp] = [inspect.look(one.queue, one.job_id) for one in unplaced]
        return [control.read(self._after), *looks]

    def read(self, answers: Answers) -> None:
        """Take what `ops` came to."""
        if not answers:
            return
        unplaced = [one for one in self._cancels.values() if not one.where]
        for cancel, seen in zip(unplaced, answers[1:], strict=True):
            self._place(cancel, seen)
        if isinstance(answers[0], StoreError):
            return
        for entry, command in answers[0]:
            self._after = entry
            self._take(command, is_new=_number(entry) > self._born)

    def act(self, children: Iterable[Child]) -> None:
        """Tell workers that hold jobs which are to end; kill those that ignored it for long."""
        if not self._cancels:
            return
        wanted = {(one.queue, one.where): one for one in self._cancels.values() if one.where}
        held: set[tuple[str, str]] = set()
        for child in children:
            found = [
                (key, place, cancel)
                for key, place in child.holds()
                if (cancel := wanted.get((queue_of(key.queue), place.where))) is not None
            ]
            held |= {(cancel.queue, cancel.job_id) for _, _, cancel in found}
            self._tell(child, [(place, cancel) for _, place, cancel in found])
            self._end(child, [(key, cancel) for key, place, cancel in found if place.started])
        now = self._clock.monotonic()
        self._cancels = {
            job: one
            for job, one in self._cancels.items()
            if job in held or (not one.noted and now <= one.until)
        }

    def _tell(self, child: Child, found: Sequence[tuple[Place, _Cancel]]) -> None:
        """Leave notes of jobs that are to end: once, and again when one is started after all."""
        told = [
            (place, cancel)
            for place, cancel in found
            if child.pid not in cancel.noted
            or child.pid in cancel.untold
            or (place.started and child.pid in cancel.waited)
        ]
        if not told:
            return
        left = child.board.leave_notes([_note(CANCEL, place) for place, _ in told])
        now, pid = self._clock.monotonic(), child.pid
        for at, (place, cancel) in enumerate(told):
            if at < left:
                cancel.untold.discard(pid)
                cancel.noted[pid] = now
            else:  # the others when the worker has read these
                cancel.untold.add(pid)
                if pid in cancel.waited or pid not in cancel.noted:
                    cancel.noted[pid] = now
            if place.started:
                cancel.waited.discard(pid)
            else:  # the worker may start it before it reads the note
                cancel.waited.add(pid)
        child.signal(signal.SIGUSR1)

    def _end(self, child: Child, found: Sequence[tuple[Key, _Cancel]]) -> None:
        """Kill a worker that runs a job which has ignored its cancel."""
        late = self._clock.monotonic() - self._grace
        stuck = [
            key
            for key, cancel in found
            if child.pid not in cancel.waited and cancel.noted.get(child.pid, late) < late
        ]
        if stuck and not child.cut:
            log.error("killed worker pid=%d reason='job ignored its cancel'", child.pid)
            child.doom(stuck, "cancel")

    def _take(self, command: Command, *, is_new: bool) -> None:
        if command.action == CANCEL_JOB:
            key = (command.queue, command.target)
            known = self._cancels.get(key)
            if known is not None and command.where in {"", known.where}:
                return  # asked again: it does not get more time for that
            if command.queue and command.target and len(self._cancels) < MOST:
                until = self._clock.monotonic() + REMEMBERED
                self._cancels[key] = _Cancel(command.target, command.queue, command.where, until)
        elif is_new and command.target == self._name and command.action in {DRAIN, STOP, STOP_NOW}:
            log.warning("was told action=%s", command.action)
            self.orders.append(command.action)

    def _place(self, cancel: _Cancel, seen: Answer) -> None:
        """Take in where a job runs; one that does not run is not for us."""
        if isinstance(seen, StoreError):
            return
        if seen.state is JobState.RUNNING:
            cancel.where = seen.where
        else:
            del self._cancels[cancel.queue, cancel.job_id]


def tell_lost(child: Child, lost: Iterable[Key]) -> None:
    """Tell a worker which of the entries that it runs belong to others by now, each once.

    Args:
        lost: what Redis says that it does not own; it may have settled some of them meanwhile.
    """
    running = {key: place for key, place in child.holds() if place.started}
    child.marks = {key: mark for key, mark in child.marks.items() if key in running}
    told = [key for key in lost if key in running and key not in child.marks]
    if not told:
        return
    left = child.board.leave_notes([_note(LOST, running[key]) for key in told])
    for key in told[:left]:
        log.warning(
            "lost lease queue=%s entry=%s worker=%s",
            queue_of(key.queue),
            key.entry,
            child.consumer,
        )
        child.marks[key] = "lost"
    child.signal(signal.SIGUSR1)


def _note(what: bytes, place: Place) -> Note:
    return what, note_name(place.entry.encode(), place.queue, place.letter)


def _number(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence or 0)
