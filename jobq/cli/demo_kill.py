"""The death of a worker process in the middle of a slow job, and what becomes of that job."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from jobq.cli.demo_jobs import SLOW, Note, read_notes
from jobq.cli.demo_stage import End, Progress, Stage

#: Seconds that a job must have run, and have to run on: that is its middle.
MARGIN: Final = 0.2


class Kill:
    """Kills the process of a slow job once, and follows that job to its end.

    Args:
        stage: where the jobs are.
        notes: the file in which slow jobs say who runs them.

    Attributes:
        victim: the attempt that was ended; None: none yet.
        again: the attempt that followed.
        end: how the job ended.
    """

    def __init__(self, stage: Stage, notes: Path) -> None:
        self.victim: Note | None = None
        self.again: Note | None = None
        self.end: End | None = None
        self._stage = stage
        self._notes = notes
        self._at = 0.0

    @property
    def pause_ms(self) -> int | None:
        """Milliseconds between the kill and the next attempt; None: there was none."""
        return None if self.again is None else round((self.again.at - self._at) * 1000)

    def step(self, now: float, progress: Sequence[Progress]) -> Iterator[str]:
        """Go on with it, as far as it goes now; yields what happened, in words.

        Args:
            now: `Clock.monotonic`.
            progress: of all kinds.
        """
        notes = read_notes(self._notes)
        if self.victim is None:
            found = self._find(now, notes, progress)
            if found is None:
                return
            victim, length = found
            os.kill(victim.pid, signal.SIGKILL)
            self.victim, self._at = victim, now
            yield f"slow job {victim.job_id} runs in process {victim.pid}, attempt 1"
            yield f"kill -9 {victim.pid}, after {now - victim.at:.1f} s of the job's {length:g} s"
        victim = self.victim
        if self.again is None:
            later = (one for one in notes if one.job_id == victim.job_id and one.attempt > 1)
            self.again = next(later, None)
            if self.again is None:
                return
            where = f"process {self.again.pid}, attempt {self.again.attempt}"
            yield f"it runs again in {where}, {self.pause_ms} ms after the kill"
        if self.end is None:
            end = self._stage.end_of("slow", victim.job_id)
            if end.state is not None:
                self.end = end
                yield f"it succeeded in process {end.pid}"

    def problem(self) -> str | None:
        """Tell what is wrong with the story; None: it is as it should be."""
        if self.victim is None:
            return "no slow job was met in the middle of its work, so no process was killed"
        what = f"slow job {self.victim.job_id}, whose process {self.victim.pid} was killed,"
        if self.again is None:
            return f"{what} was not started again"
        if self.end is None:
            return f"{what} did not succeed"
        if self.end.pid == self.victim.pid or self.end.attempts <= self.victim.attempt:
            return f"{what} ended in process {self.end.pid}, attempt {self.end.attempts}"
        return None

    def _find(
        self, now: float, notes: Sequence[Note], progress: Sequence[Progress]
    ) -> tuple[Note, float] | None:
        """Return an attempt in its middle, and how long it takes."""
        # Async jobs run beside the slow ones: the process would take several with it.
        if any(one.left for one in progress if one.kind.name == "async"):
            return None
        lengths = dict(zip(self._stage.ids["slow"], SLOW, strict=True))
        middles = [
            (note, lengths[note.job_id])
            for note in notes
            if MARGIN <= now - note.at <= lengths[note.job_id] - MARGIN
        ]
        return max(middles, key=lambda pair: pair[1], default=None)
