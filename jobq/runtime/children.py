"""Worker processes: started by fork, so that each shares a page of memory with its supervisor."""

import atexit
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from jobq.core.lines import RETRIED, line_at
from jobq.runtime.board import Board, Place
from jobq.runtime.hello import Hello
from jobq.runtime.recovery import Cancelled, Crashed, Fate, TimedOut

log = logging.getLogger("jobq.supervisor")

#: The most bytes of a hello: the policies of many thousand job functions.
MOST_HELLO: Final = 16 << 20

#: Signals that a supervisor has handlers for, which its children must not inherit.
HANDLED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGHUP,
    signal.SIGUSR1,
)


#: What is remembered of a job that does not end as it should: it ran too long, or ignored its
#: cancel, so that its process was killed; or its worker was told that it belongs to another one.
Mark = Literal["timeout", "cancel", "lost"]


class Key(NamedTuple):
    """An entry that a worker holds: its queue or line, whether it is in retries, and its id."""

    queue: str
    in_retries: bool
    entry: str


class End(NamedTuple):
    """How a process ended: its exit code (negative: the signal), and the most memory it had."""

    code: int
    most_bytes: int

    def __str__(self) -> str:
        """Return it in words: ``killed by SIGKILL, 512 MB resident at most``."""
        size = f"{self.most_bytes / 1e6:.0f} MB resident at most"
        if self.code >= 0:
            return f"exit code {self.code}, {size}"
        try:
            return f"killed by {signal.Signals(-self.code).name}, {size}"
        except ValueError:
            return f"killed by signal {-self.code}, {size}"


@dataclass(slots=True)
class Child:
    """One worker process.

    Attributes:
        pid: its process id.
        slot: which of the workers it is.
        consumer: how Redis knows it; never used again after its death.
        board: the page that it shares.
        isolated: whether it runs suspects only.
        born: when it was started, monotonic seconds.
        reader: where its hello comes from; -1: it has said it, or never will.
        hello: what it said.
        leaving: it was told to end when its jobs have; another one has its slot, or none shall.
        cut: it was killed by us: what it ran is not charged for that.
        marks: the jobs that do not end as they should.
    """

    pid: int
    slot: int
    consumer: str
    board: Board
    isolated: bool
    born: float
    reader: int
    hello: Hello | None = None
    leaving: bool = False
    cut: bool = False
    marks: dict[Key, Mark] = field(default_factory=dict)
    _heard: bytearray = field(default_factory=bytearray)

    def listen(self) -> Hello | None:
        """Read what it has said, after its pipe has become readable.

        Raises:
            ValueError: it is no hello: user code has written there.
        """
        data = os.read(self.reader, 65536)
        self._heard += data
        if len(self._heard) > MOST_HELLO:
            self.close()
            raise ValueError("too long")
        if self._heard.endswith(b"\n"):
            said = bytes(self._heard)
            self._heard.clear()
            self.close()
            try:
                self.hello = Hello.decode(said)
            except (TypeError, LookupError, AttributeError) as error:
                raise ValueError(f"not a hello: {error!r}") from None
        elif not data:
            self.close()
        return self.hello

    def close(self) -> None:
        """Stop listening."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def signal(self, number: int) -> None:
        """Send it a signal, if it still lives."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            log.debug("worker is gone pid=%d", self.pid)

    def leave(self) -> None:
        """Tell it to finish what it runs and end; nobody takes its place because of that."""
        self.leaving = True
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it; what it runs is not charged."""
        self.cut = True
        self.signal(signal.SIGKILL)

    def doom(self, keys: Iterable[Key], why: Mark) -> None:
        """Kill it because of jobs that do not end; what else it ran is released."""
        self.marks.update(dict.fromkeys(keys, why))
        self.kill()

    def holds(self) -> Iterator[tuple[Key, Place]]:
        """Go through what stands on its board, by names."""
        queues = self.hello.queues if self.hello is not None else ()
        for place in self.board.read():
            if place.queue < len(queues):
                line = line_at(queues[place.queue], place.letter)
                yield Key(line, place.letter == RETRIED, place.entry), place

    def fates(self, end: End, *, charged: bool = True) -> dict[Key, Fate]:
        """Return what becomes of the jobs that it held; those that are not named are released.

        Args:
            end: how it died.
            charged: what ran in it is charged, unless it was us who killed it.
        """
        charged = charged and not (self.cut and end.code == -signal.SIGKILL)
        found: dict[Key, Fate] = {}
        for key, place in self.holds():
            mark = self.marks.get(key)
            if mark == "timeout":
                found[key] = TimedOut(str(end))
            elif mark == "cancel":
                found[key] = Cancelled()
            elif place.started and charged:
                found[key] = Crashed(str(end))
        return found


def consumer_name(name: str, slot: int) -> str:
    """Return a name for a worker that no other ever had: it is half of the fence."""
    return f"{name}#{slot}-{secrets.token_hex(4)}"


def spawn(
    slot: int,
    consumer: str,
    *,
    isolated: bool,
    born: float,
    run: Callable[[Board, Callable[[Hello], None]], int],
) -> Child:
    """Fork a worker.

    Args:
        run: what it does, given its board and how to say hello; returns its exit code.
    """
    board = Board()
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that reached the child before it has forgotten our handlers would be lost in them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
        os.set_blocking(reader, False)  # the other end may outlive the worker, in a process of its
        return Child(pid, slot, consumer, board, isolated, born, reader)
    code = 1
    try:
        os.close(reader)
        _forget_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

        def say_hello(hello: Hello) -> None:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(hello.encode())

        atexit._clear()  # noqa: SLF001  as multiprocessing does: those are the supervisor's
        code = run(board, say_hello)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("worker failed")
    finally:
        # Not sys.exit: above us are the frames of the supervisor, which are not ours to unwind.
        try:
            atexit._run_exitfuncs()  # noqa: SLF001  the app's: traces that are buffered go out
            logging.shutdown()
            _flush()
        finally:
            os._exit(code)


def bury_dead() -> Iterator[tuple[int, End]]:
    """Go through the children that have ended: their process ids, and how."""
    while True:
        try:
            pid, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        unit = 1 if sys.platform == "darwin" else 1024
        yield pid, End(os.waitstatus_to_exitcode(status), used.ru_maxrss * unit)


def end_overdue(children: Iterable[Child], now: float) -> None:
    """Kill workers whose jobs have run past their hard timeout.

    Args:
        now: monotonic seconds.
    """
    for child in children:
        if child.cut or not 0 < child.board.next_deadline <= now:
            continue
        late = [key for key, at in child.holds() if at.started and 0 < at.deadline <= now]
        if late:
            log.error("killed worker pid=%d reason='job stuck, hard timeout'", child.pid)
            child.doom(late, "timeout")


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    # The supervisor decides what these mean, and a program that a job starts does not inherit
    # this, as it would if they were ignored. Notes are read once the worker has its own handler.
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
