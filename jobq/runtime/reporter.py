"""The thread that takes reports of jobs to Redis: progress, log lines, chunks, checkpoints.

Guarantees:
    * there is no thread and no connection before a job reports something;
    * what a job reports goes out in order, and a batch that is sent again is written once;
    * when Redis is away, nobody waits for longer than the patience, and the jobs go on.
"""

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, TypeVar

from jobq.core.clock import Clock
from jobq.core.codec import Codec
from jobq.core.signing import Signer
from jobq.errors import AttemptLost, JobqError, StoreError, StoreUnavailable
from jobq.runtime.answers import Answer
from jobq.runtime.describe import text
from jobq.runtime.inside import Report
from jobq.runtime.item import Item
from jobq.store.connection import Connection
from jobq.store.wire import Answers, AnyOp, Op

log = logging.getLogger("jobq.worker")

T = TypeVar("T")

#: Seconds between two batches, unless somebody waits.
PAUSE: Final = 0.02

#: Seconds that a batch is tried again while Redis is away; then it is dropped.
PATIENCE: Final = 5.0

#: Seconds between attempts to reach Redis: the first, and the longest.
BACKOFF: Final = (0.02, 0.5)


class _Question:
    """An op that reads, and who wants to know."""

    __slots__ = ("answer", "op")

    def __init__(self, op: AnyOp, answer: Answer) -> None:
        self.op = op
        self.answer = answer


class _Letter(NamedTuple):
    """A batch on its way, and who waits for it."""

    report: Report
    op: Op[bool]
    waiters: list[Answer]


class Reporter:
    """Takes the reports of the jobs of one worker.

    Args:
        connect: makes its connection.
        codec: encodes values.
        signer: signs checkpoints; None: nothing is signed.
        consumer: the worker, as Redis knows it.
        patience: seconds that it goes on trying while Redis is away.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        codec: Codec,
        signer: Signer | None,
        *,
        consumer: str,
        clock: Clock,
        patience: float = PATIENCE,
    ) -> None:
        self.codec = codec
        self.signer = signer
        self.consumer = consumer
        self._connect = connect
        self._connection: Connection | None = None
        self._clock = clock
        self._patience = patience
        self._todo: SimpleQueue[Report | _Question | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._alone = threading.Lock()
        self._serial = itertools.count(1)
        self._open: dict[tuple[str, bytes, int], Report] = {}
        self._sent = 0.0
        self._away = False

    # from any thread

    def open(self, item: Item, make: Callable[[str], Report]) -> Report:
        """Return the report of an attempt, the same each time. See `Courier`."""
        key = (item[0], item[1], item[3])
        found = self._open.get(key)
        if found is None:
            name = f"{self.consumer}.{next(self._serial)}"
            found = self._open.setdefault(key, make(name))  # two threads of a job may come at once
        return found

    def forget(self, item: Item) -> None:
        """Forget the report of an attempt."""
        self._open.pop((item[0], item[1], item[3]), None)

    def poke(self, inside: Report) -> None:
        """Hear that a report has something."""
        self._put(inside)

    def ask(self, op: Op[T], answer: Answer) -> None:
        """Run an op that reads."""
        self._put(_Question(op, answer))

    def stop(self) -> None:
        """Let the thread end, after all that it was told before."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._todo.put(None)
            thread.join()

    def _put(self, thing: Report | _Question) -> None:
        self._todo.put(thing)
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="jobq-reports", daemon=True)
            thread.start()
            self._thread = thread  # if this is interrupted, another one starts and ends at once

    # in the thread

    def _run(self) -> None:
        if not self._alone.acquire(blocking=False):
            return  # two jobs have reported for the first time at once
        try:
            while (thing := self._todo.get()) is not None:
                if not self._turn(thing):
                    return
        finally:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._alone.release()

    def _turn(self, thing: Report | _Question) -> bool:
        """Send what there is to send; false when the thread is to end after that."""
        things: dict[Report | _Question, None] = {thing: None}
        goes_on = self._gather(things)
        letters, waiters = self._collect([one for one in things if isinstance(one, Report)])
        questions = [one for one in things if isinstance(one, _Question)]
        waiters += [question.answer for question in questions]
        try:
            self._send(letters, questions)
        except Exception as error:  # the thread must live, and nobody may wait in vain
            log.exception("failed to keep reports")
            _tell(waiters, JobqError(f"reports were not kept: {error!r}"))
        return goes_on

    def _gather(self, things: dict[Report | _Question, None]) -> bool:
        """Add what else comes, until it is time to send; false when the thread is to end."""
        until = self._sent + PAUSE
        if any(map(_is_urgent, things)):
            until = 0.0
        while True:
            left = until - self._clock.monotonic()
            try:
                thing = self._todo.get(timeout=left) if left > 0 else self._todo.get_nowait()
            except Empty:
                return True
            if thing is None:
                return False
            things[thing] = None
            if _is_urgent(thing):
                until = 0.0

    def _collect(self, reports: list[Report]) -> tuple[list[_Letter], list[Answer]]:
        """Take what the reports have; also those who wait for any of it."""
        letters: list[_Letter] = []
        for report in reports:
            op, waiters = report.take()
            if report.lost:
                _tell(waiters, AttemptLost())
            elif op is None:
                _tell(waiters, None)
            else:
                letters.append(_Letter(report, op, waiters))
        return letters, [waiter for letter in letters for waiter in letter.waiters]

    def _send(self, letters: list[_Letter], questions: list[_Question]) -> None:
        ops: list[AnyOp] = [letter.op for letter in letters]
        answers = self._exchange([*ops, *(question.op for question in questions)])
        self._sent = self._clock.monotonic()
        for letter, answer in zip(letters, answers[: len(ops)], strict=True):
            self._read(letter, answer)
        for question, answer in zip(questions, answers[len(ops) :], strict=True):
            question.answer(answer)

    def _read(self, letter: _Letter, answer: object) -> None:
        if isinstance(answer, StoreError):
            said, letter.report.refusal = letter.report.refusal, str(answer)
            if not isinstance(answer, StoreUnavailable) and said != letter.report.refusal:
                log.warning("kept no reports job=%s error=%s", text(letter.report.job_id), answer)
            _tell(letter.waiters, answer)
        elif not answer:
            log.warning("refused reports job=%s reason='not ours'", text(letter.report.job_id))
            letter.report.lose()
            _tell(letter.waiters, AttemptLost())
        else:
            _tell(letter.waiters, None)

    def _exchange(self, ops: list[AnyOp]) -> Answers:
        """Send ops, and again while Redis is away; what is written is written once."""
        if not ops:
            return []
        deadline = self._clock.monotonic() + (0.0 if self._away else self._patience)
        pause, most = BACKOFF
        while True:
            try:
                answers = self._connected().exchange(ops)
                error = next((one for one in answers if isinstance(one, StoreUnavailable)), None)
            except JobqError as lost:  # also: there is no embedded server
                error = lost if isinstance(lost, StoreUnavailable) else _unavailable(lost)
                answers = [error] * len(ops)
            if error is None:
                if self._away:
                    log.warning("keeps reports again")
                self._away = False
                return answers
            if self._clock.monotonic() >= deadline:
                if not self._away:
                    log.warning("drops reports error=%s", error)
                self._away = True
                return answers
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter
            pause = min(most, 2 * pause)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection


def _is_urgent(thing: Report | _Question) -> bool:
    """Tell whether somebody waits; who begins to wait says so again."""
    return isinstance(thing, _Question) or thing.urgent


def _unavailable(error: JobqError) -> StoreUnavailable:
    return StoreUnavailable(str(error))


def _tell(waiters: list[Answer], found: object) -> None:
    for answer in waiters:
        answer(found)
