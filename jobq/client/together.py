"""Asking Redis several things at once, and for what it may refuse."""

from collections.abc import Sequence
from typing import TypeVar

from jobq.errors import StoreError, StoreUnavailable
from jobq.store.sync import Store
from jobq.store.wire import Answers, AnyOp, Op

T = TypeVar("T")

#: Ops that go out together: their answers are held in memory.
_TOGETHER = 500


def ask(store: Store, op: Op[T]) -> T | StoreError:
    """Return what an op came to, or what Redis said instead.

    Raises:
        StoreUnavailable: it cannot be reached.
    """
    try:
        return store.run(op)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return error


def ask_all(store: Store, ops: Sequence[AnyOp]) -> Answers:
    """Return what each of some ops came to: its answer, or a `StoreError`.

    Raises:
        StoreUnavailable: Redis cannot be reached.
    """
    answers: Answers = []
    for at in range(0, len(ops), _TOGETHER):
        answers += store.exchange(ops[at : at + _TOGETHER])
    return answers
