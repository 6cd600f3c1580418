"""Worker processes: started by fork, so that each shares a page of memory with its supervisor."""

import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from jobq.runtime.board import Board
from jobq.runtime.hello import Hello

log = logging.getLogger("jobq.supervisor")


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
    """

    pid: int
    slot: int
    consumer: str
    board: Board
    isolated: bool
    born: float
    reader: int
    hello: Hello | None = None
    _heard: bytearray = field(default_factory=bytearray)

    def listen(self) -> Hello | None:
        """Read what it has said, after its pipe has become readable."""
        data = os.read(self.reader, 65536)
        self._heard += data
        if self._heard.endswith(b"\n"):
            self.hello = Hello.decode(bytes(self._heard))
        if not data or self.hello is not None:
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
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, slot, consumer, board, isolated, born, reader)
    code = 1
    try:
        os.close(reader)
        _forget_signals()

        def say_hello(hello: Hello) -> None:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(hello.encode())

        code = run(board, say_hello)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("worker failed")
    finally:
        # Not sys.exit: above us are the frames of the supervisor, which are not ours to unwind.
        logging.shutdown()
        _flush()
        os._exit(code)


def how_it_ended(status: int) -> str:
    """Return a wait status in words: ``killed by SIGKILL``, ``exit code 3``."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
