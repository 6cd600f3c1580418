"""Redis for blocking code: a pool of connections, safe to share between threads and forks."""

import contextlib
import os
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from jobq.store.connect import Locate
from jobq.store.connection import PATIENCE, Connection
from jobq.store.wire import Answers, AnyOp, Op

T = TypeVar("T")


class Store:
    """Redis for blocking code: a pool of connections, safe to share between threads and forks.

    Args:
        locate: where Redis is; asked again at each connect.
        patience: seconds that an operation goes on trying over a cut.
    """

    def __init__(self, locate: Locate, *, patience: float = PATIENCE) -> None:
        self.locate = locate
        self.patience = patience
        self._idle: deque[Connection] = deque()
        self._listening: deque[Connection] = deque()
        _stores.add(self)

    def run(self, op: Op[T]) -> T:
        """Run an op. See `Connection.run`."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self.locate)
        try:
            return connection.run(op, patience=self.patience)
        finally:
            self._idle.append(connection)

    def run_each(self, ops: Iterable[Op[T]]) -> Iterator[T]:
        """Run ops in order. See `Connection.run_each`."""
        connection = self._idle.pop() if self._idle else Connection(self.locate)
        try:
            yield from connection.run_each(ops, patience=self.patience)
        finally:
            self._idle.append(connection)

    def exchange(self, ops: Sequence[AnyOp]) -> Answers:
        """Send ops together, once. See `Connection.exchange`."""
        connection = self._idle.pop() if self._idle else Connection(self.locate)
        try:
            return connection.exchange(ops)
        finally:
            self._idle.append(connection)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Connection]:
        """Lend a connection on which Redis tells when keys that were read have changed."""
        try:
            connection = self._listening.pop()
        except IndexError:
            connection = Connection(self.locate, resp3=True)
        try:
            yield connection
        finally:
            self._listening.append(connection)

    def close(self) -> None:
        """Close all idle connections; the store can be used again."""
        for pool in (self._idle, self._listening):
            while pool:
                pool.pop().close()

    def forget(self) -> None:
        """After a fork: leave the parent's sockets and lanes to the parent."""
        self._idle = deque()
        self._listening = deque()


_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store.forget()


os.register_at_fork(after_in_child=_after_fork)
