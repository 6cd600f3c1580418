"""What a schedule is in Redis, and what is kept of its ticks.

A definition is the msgpack array ``[1, schedule, job, line, signed]``; the call of its jobs stands
beside it. A past tick is text of four words: its nominal time in ms (0: made by hand), when it
fired in ms, the id of its job (or ``-``), and what came of it: ``-`` while that is not known,
``queued``, ``skipped``, ``missed:<how many>``, or how the job ended.
"""

from dataclasses import dataclass
from hashlib import sha1
from typing import Final

import msgpack

from jobq.core.lines import letter_of
from jobq.core.numbers import ms_of
from jobq.core.schedule import Schedule
from jobq.errors import CallUnreadable

FORMAT: Final = 1

#: Past ticks that are kept of each schedule.
KEPT: Final = 100

#: Ticks that may wait for the job of the tick before them (``overlap="queue"``).
MOST_WAITING: Final = 100

OPEN: Final = "-"
QUEUED: Final = "queued"
SKIPPED: Final = "skipped"
MISSED: Final = "missed"


@dataclass(frozen=True, slots=True)
class Rule:
    """A schedule and the jobs that it makes.

    Attributes:
        schedule: when it ticks.
        job: the name of the job function.
        line: where its jobs wait, see `jobq.core.lines`.
        signed: its call is signed, so that only who has keys can make jobs of it.
    """

    schedule: Schedule
    job: str
    line: str
    signed: bool = False

    @property
    def name(self) -> str:
        """The name of the schedule."""
        return self.schedule.name

    def encode(self) -> bytes:
        """Return it as bytes."""
        row = [FORMAT, self.schedule.to_wire(), self.job, self.line, self.signed]
        return bytes(msgpack.packb(row))

    @staticmethod
    def decode(blob: bytes) -> "Rule":
        """Read what `encode` wrote.

        Raises:
            CallUnreadable: the bytes are anything else, or of a newer release.
        """
        try:
            row: object = msgpack.unpackb(blob)
        except Exception as wrong:  # noqa: BLE001  msgpack raises many kinds; none says more
            raise CallUnreadable(f"not a schedule: {wrong}") from None
        match row:
            case [int(), wire, str(job), str(line), bool(signed)] if row[0] == FORMAT:
                check_line(line)
                return Rule(Schedule.from_wire(wire), job, line, signed)
        raise CallUnreadable("not a schedule, or one of a newer release")

    def revision(self, call: bytes) -> str:
        """Return what stands for all that the schedule is, with the call of its jobs."""
        return _digest(self.encode() + call)

    def timing(self) -> str:
        """Return what stands for when it ticks."""
        one = self.schedule
        return _digest(repr((one.cron, one.every, one.tz, one.jitter)).encode())


@dataclass(frozen=True, slots=True)
class PastTick:
    """A tick that was, as its text says it.

    Attributes:
        nominal_ms: when it was to be, Redis time; 0: it was made by hand.
        fired_ms: when it was made.
        job_id: the id of its job; empty: it has none.
        outcome: see the module; empty while it is not known.
    """

    nominal_ms: int
    fired_ms: int
    job_id: str
    outcome: str

    @staticmethod
    def read(text: str) -> "PastTick | None":
        """Read the text of a tick; None: it is none."""
        match text.split(" "):
            case [nominal, fired, job, outcome]:
                nominal_ms, fired_ms = ms_of(nominal), ms_of(fired)
                if nominal_ms is not None and fired_ms is not None:
                    job_id = "" if job == "-" else job
                    return PastTick(
                        nominal_ms, fired_ms, job_id, "" if outcome == OPEN else outcome
                    )
        return None


def with_outcome(text: str, outcome: str) -> str:
    """Return the text of a tick with what came of it."""
    return f"{text.rpartition(' ')[0]} {outcome}"


def check_line(line: str) -> None:
    """Check a line that was read from somewhere.

    Raises:
        CallUnreadable: there is no such line.
    """
    try:
        letter_of(line)
    except KeyError:
        raise CallUnreadable(f"not a line: {line[:100]!r}") from None


def next_tick(schedule: Schedule, now_ms: float) -> tuple[int, int]:
    """Return the nominal time of the first tick after a moment, and when it fires, in ms."""
    tick = schedule.next_after(int(now_ms))
    return tick, schedule.fires_at(tick)


def _digest(data: bytes) -> str:
    return sha1(data, usedforsecurity=False).hexdigest()[:16]
