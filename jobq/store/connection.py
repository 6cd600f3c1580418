"""Carrying ops to Redis from blocking code: one connection.

Guarantees:
    * an op that is sent again after a cut carries the same words, so that Redis can tell;
    * a connection that was interrupted between a command and its reply is never used again.
"""

import contextlib
import itertools
import os
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import hiredis

from jobq.core.clock import Clock, SystemClock
from jobq.errors import JobTimedOut, StoreError, StoreUnavailable
from jobq.store.address import Address
from jobq.store.connect import (
    REPLY_TIMEOUT,
    Locate,
    dial,
    greeting,
    not_greeted,
    not_redis,
    unreachable,
)
from jobq.store.wire import Lane, Op, Word, error_of, in_full, pack

T = TypeVar("T")

#: Seconds that an operation goes on trying over a cut connection before it raises.
PATIENCE = 5.0

#: Seconds before the first new attempt to connect, doubled up to the last, with full jitter.
BACKOFF = (0.05, 1.0)

#: Ops of `Connection.run_each` on their way at once: one that Redis does, one that waits for it.
_AT_ONCE = 2

_MORE = object()


class Connection:
    """One socket to Redis, opened when it is first needed and again after a cut.

    Attributes:
        lane: what Redis knows this producer by, over reconnects.
        address: where it is, or was last, connected.
    """

    def __init__(
        self,
        locate: Locate,
        *,
        name: str = "jobq",
        resp3: bool = False,
        clock: Clock = SystemClock(),
    ) -> None:
        self.lane = Lane(os.urandom(8).hex(), clock)
        self._locate = locate
        self._name = name
        self._resp3 = resp3
        self._sock: socket.socket | None = None
        self._reader: Any = None
        self._timeout = 0.0
        self._plain = True
        self._buffer = bytearray(65536)
        self._owed = 0  # replies that are still to be read
        self._pushes: deque[list[Any]] = deque()
        self.address: Address | None = None

    def __del__(self) -> None:
        """Close the socket: an app that is forgotten is not to warn of it."""
        if getattr(self, "_sock", None) is not None:
            self.close()

    def open(self) -> None:
        """Connect and greet, unless that is done.

        Raises:
            StoreUnavailable: nobody answers there.
            StoreDenied: the password is wrong.
        """
        if self._sock is not None:
            if not self._owed:
                return
            self.close()  # it was interrupted between a command and its reply
        address = self._locate()
        self._owed = 1  # of use only when it has been greeted
        self._sock = dial(address)
        self._plain = address.tls is None
        if self._plain:
            self._sock.settimeout(None)
        self.address = address
        self._timeout = 0.0
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._pushes.clear()
        words = greeting(address, resp3=self._resp3, name=self._name)
        if self._resp3:
            words.insert(-1, ("CLIENT", "TRACKING", "ON"))
        replies = self._trip(words, 0.0)
        for reply in replies:
            if isinstance(reply, Exception):
                self.close()
                raise not_greeted(address, reply)
        self.lane.set_time(replies[-1])

    def close(self) -> None:
        """Close the socket; the next operation opens a new one."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()
            self._sock = None

    def exchange(self, ops: Sequence[Op[Any]]) -> list[Any]:
        """Send ops in one write and return what each came to: its answer, or a StoreError.

        Raises:
            StoreUnavailable: the connection was cut; any of the ops may have been executed.
        """
        self.open()
        return self._exchange(ops, [self.lane.stamp(op) for op in ops])

    def begin(self, ops: Sequence[Op[Any]]) -> None:
        """Send ops and come back; `finish` with the same ops must be the next that is called.

        Raises:
            StoreUnavailable: the connection was cut.
        """
        self.open()
        self._send([self.lane.stamp(op) for op in ops], sum(op.block for op in ops))

    def finish(self, ops: Sequence[Op[Any]]) -> list[Any]:
        """Return what the ops of `begin` came to. See `exchange`."""
        return self._answers(ops, self._receive(len(ops)))

    def run(self, op: Op[T], *, patience: float = PATIENCE, clock: Clock = SystemClock()) -> T:
        """Run an op; over cuts, send it again until it is answered.

        Args:
            op: one that is harmless when repeated.
            patience: seconds after which a cut is raised.
            clock: what measures them.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        words: list[tuple[Word, ...]] = []
        if self._sock is not None and not self._owed:  # as a rule, all is well
            stamped = self.lane.stamp(op)
            words = [stamped]
            try:
                reply = self._trip_once(stamped, op.block)
                if not isinstance(reply, Exception):
                    return op.parse(reply)
                answer = self._answers((op,), [reply])[0]
                if not isinstance(answer, StoreUnavailable):
                    return _given(answer)  # type: ignore[no-any-return]
            except StoreUnavailable:
                words = [in_full(op, stamped)]
        return self._run_patiently(op, words, patience, clock)

    def _run_patiently(
        self, op: Op[T], words: list[tuple[Word, ...]], patience: float, clock: Clock
    ) -> T:
        stamped = words[0] if words else ()
        deadline = clock.monotonic() + patience
        pause, most = BACKOFF
        while True:
            try:
                if not words:
                    self.open()  # before it is numbered: the number is Redis time
                    stamped = self.lane.stamp(op)
                    words = [stamped]
                answer = self._exchange((op,), words)[0]
                if not isinstance(answer, StoreUnavailable):
                    break
            except StoreUnavailable as error:
                answer = error
            left = deadline - clock.monotonic()
            if left <= 0:
                break
            words = [in_full(op, stamped)] if words else []
            time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311  jitter
            pause = min(most, 2 * pause)
        return _given(answer)  # type: ignore[no-any-return]

    def run_each(
        self, ops: Iterable[Op[T]], *, patience: float = PATIENCE, clock: Clock = SystemClock()
    ) -> Iterator[T]:
        """Run ops in order and give their answers; while Redis does one, the next one is made.

        Raises:
            StoreError: Redis refused one, or cannot be reached; the one after it may have been
                executed too.
        """
        left = iter(ops)
        for op in itertools.islice(left, 1):  # connects, and teaches the script
            yield self.run(op, patience=patience, clock=clock)
        flying: deque[tuple[Op[T], tuple[Word, ...]]] = deque()
        while True:
            try:
                for op in itertools.islice(left, _AT_ONCE - len(flying)):
                    flying.append((op, self.lane.stamp(op)))
                    self._send([flying[-1][1]], op.block)
                if not flying:
                    return
                (reply,) = self._receive(1)
                self._owed = len(flying) - 1
            except StoreUnavailable:  # again, in the same order, under the same numbers
                for op, words in flying:
                    again = [in_full(op, words)]
                    yield self._run_patiently(op, again, patience, clock)
                flying.clear()
                continue
            op = flying.popleft()[0]
            if not isinstance(reply, Exception):
                yield op.parse(reply)
                continue
            refused = [op, *(other for other, _ in flying)]
            replies = [reply, *self._receive(len(flying))]
            flying.clear()
            for answer in self._answers(refused, replies):
                yield _given(answer)

    def wait_push(self, timeout: float) -> bool:
        """Wait for something that Redis sends unasked; False when nothing came in time.

        Raises:
            StoreUnavailable: the connection was cut.
        """
        if self._pushes:
            self._pushes.popleft()
            return True
        try:
            self._set_timeout(max(timeout, 0.001))
            while self._reader.gets() is _MORE:  # no command is out: what comes is a push
                self._read_some()
        except (TimeoutError, BlockingIOError) as error:
            if isinstance(error, JobTimedOut):
                raise
            return False
        except OSError as error:
            raise self._broken(error) from error
        return True

    def _exchange(self, ops: Sequence[Op[Any]], words: list[tuple[Word, ...]]) -> list[Any]:
        self.open()
        return self._answers(ops, self._trip(words, sum(op.block for op in ops)))

    def _answers(self, ops: Sequence[Op[Any]], replies: list[Any]) -> list[Any]:
        answers: list[Any] = []
        unknown = []
        for at, (op, reply) in enumerate(zip(ops, replies, strict=True)):
            if isinstance(reply, Exception):
                answers.append(error_of(reply))
                if answers[-1].code == "NOSCRIPT":
                    unknown.append(at)
            else:
                answers.append(op.parse(reply))
        if unknown:
            again = [ops[at] for at in unknown]
            self._teach(again)
            # NOSCRIPT says that nothing was done: a new sequence number, or what was sent
            # after it would make it look like a resend.
            for at, answer in zip(unknown, self.exchange(again), strict=True):
                answers[at] = answer
        return answers

    def _teach(self, ops: Sequence[Op[Any]]) -> None:
        scripts = {op.script.sha: op.script for op in ops if op.script}
        for reply in self._trip([("SCRIPT", "LOAD", s.text) for s in scripts.values()], 0.0):
            if isinstance(reply, Exception):
                raise error_of(reply)

    def _trip(self, words: list[tuple[Word, ...]], block: float) -> list[Any]:
        self._send(words, block)
        return self._receive(len(words))

    def _trip_once(self, words: tuple[Word, ...], block: float) -> Any:
        """Do what `_trip` does for one command, with fewer calls: the hot path of a producer."""
        sock = self._sock
        assert sock is not None
        self._owed = 1
        try:
            if block + REPLY_TIMEOUT != self._timeout:
                self._set_timeout(block + REPLY_TIMEOUT)
            sock.sendall(pack(words))
            size = sock.recv_into(self._buffer)
            if not size:
                raise ConnectionResetError("Redis closed the connection")  # noqa: TRY301
            self._reader.feed(self._buffer, 0, size)
            reply = self._reader.gets()
        except BaseException as error:
            raise self._broken(error) from error
        if reply is _MORE or reply.__class__ is hiredis.PushNotification:
            return self._read_rest(reply)
        self._owed = 0
        return reply

    def _send(self, words: list[tuple[Word, ...]], block: float) -> None:
        sock = self._sock
        if sock is None:
            raise StoreUnavailable("the connection is closed")
        self._owed = len(words)
        try:
            self._set_timeout(block + REPLY_TIMEOUT)
            sock.sendall(pack(words[0]) if len(words) == 1 else b"".join(map(pack, words)))
        except BaseException as error:  # half a command may be out: nothing may follow it
            raise self._broken(error) from error

    def _receive(self, many: int) -> list[Any]:
        if self._sock is None:
            raise StoreUnavailable("the connection is closed")
        try:
            replies = [self._read() for _ in range(many)]
        except BaseException as error:  # nothing else may read what is still to come
            raise self._broken(error) from error
        self._owed = 0
        return replies

    def _read_rest(self, first: Any) -> Any:
        if first is not _MORE:
            self._pushes.append(first)
        return self._receive(1)[0]

    def _read(self) -> Any:
        gets = self._reader.gets
        while True:
            reply = gets()
            if reply is _MORE:
                self._read_some()
            elif isinstance(reply, hiredis.PushNotification):
                self._pushes.append(reply)
            else:
                return reply

    def _read_some(self) -> None:
        assert self._sock is not None
        size = self._sock.recv_into(self._buffer)
        if not size:
            raise ConnectionResetError("Redis closed the connection")
        self._reader.feed(self._buffer, 0, size)

    def _broken(self, error: BaseException) -> BaseException:
        """Close the socket, and return what is to be raised for an interruption."""
        self.close()
        if isinstance(error, hiredis.ProtocolError):
            return not_redis(self.address, error)
        if isinstance(error, JobTimedOut) or not isinstance(error, OSError):
            return error
        assert self.address is not None
        # The kernel's timeout looks like a socket that would block.
        late = TimeoutError("timed out") if isinstance(error, BlockingIOError) else error
        return unreachable(self.address, late)

    def _set_timeout(self, seconds: float) -> None:
        sock = self._sock
        if seconds == self._timeout or sock is None:
            return
        self._timeout = seconds
        if self._plain:
            # The kernel's own: Python's would ask it with a system call more, before each.
            limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        else:
            sock.settimeout(seconds)


def _given(answer: Any) -> Any:
    """Return an answer, or raise it if it is an error."""
    if isinstance(answer, StoreError):
        raise answer
    return answer
