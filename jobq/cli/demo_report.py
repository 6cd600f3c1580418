"""What the demo came to: checked job by job, told in words and in JSON, and what to try next."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Final

from jobq.cli import shapes
from jobq.cli.demo_jobs import KINDS
from jobq.cli.demo_kill import Kill
from jobq.cli.demo_stage import End
from jobq.cli.demo_view import paint
from jobq.client.rows import LetterRow
from jobq.core.job import JobState

_NEXT: Final = """\
Try it yourself. This is a whole jobs.py:

    from jobq import job

    @job(retries=5)
    def hello(name: str) -> str:
        return f"Hello, {name}!"

Beside it, each in a terminal of its own:
"""

_COMMANDS: Final = (
    ("jobq worker", "run its jobs"),
    ("""jobq enqueue jobs.hello --args '["Ada"]'""", "or hello.delay('Ada') in Python"),
    ("jobq dlq list", "see what failed for good"),
)

_MORE: Final = "More: jobq --help, and docs/ beside the README."


@dataclass(frozen=True, slots=True)
class Report:
    """What the demo came to.

    Attributes:
        ends: how each job ended.
        letters: the dead letters.
        kill: the process that was killed.
        seconds: from the first enqueue to the last end.
        redis: where the jobs were, for people.
        code: the exit code of the worker.
        log: the end of its log.
    """

    ends: Sequence[End]
    letters: Sequence[LetterRow]
    kill: Kill
    seconds: float
    redis: str
    code: int
    log: str

    def count(self, state: JobState | None, kind: str | None = None) -> int:
        """Count the jobs that ended so; None: that are lost, or did not end in time."""
        return sum(one.state is state and kind in {None, one.kind.name} for one in self.ends)

    def retries(self, kind: str | None = None) -> int:
        """Count the attempts after the first ones."""
        counted = (one for one in self.ends if kind in {None, one.kind.name})
        return sum(max(0, one.attempts - 1) for one in counted)

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return len(self.ends) / self.seconds

    @property
    def problems(self) -> list[str]:
        """What is not as it must be, in sentences."""
        found = []
        for kind in KINDS:
            ends = [one for one in self.ends if one.kind is kind]
            wanted = JobState.DEAD if kind.dies else JobState.SUCCEEDED
            other = JobState.SUCCEEDED if kind.dies else JobState.DEAD
            missing = sum(one.state is None for one in ends)
            wrong = sum(one.state is other for one in ends)
            few = sum(one.state is wanted and one.attempts < kind.attempts for one in ends)
            if len(ends) != kind.jobs:
                found.append(f"{len(ends)} {kind.name} jobs were enqueued, not {kind.jobs}")
            if missing:
                found.append(f"{missing} {kind.name} jobs have neither a result nor a dead letter")
            if wrong:
                found.append(f"{wrong} {kind.name} jobs are {other}; they should be {wanted}")
            if few:
                found.append(f"{few} {kind.name} jobs had less than {kind.attempts} attempts")
        if problem := self.kill.problem():
            found.append(problem)
        if self.code:
            found.append(f"the worker ended with exit code {self.code}")
        return found

    def complaint(self) -> str:
        """Return the problems, with the last words of the worker."""
        listed = "\n".join(f"  - {one}" for one in self.problems)
        return f"the demo did not go as it must:\n{listed}\nThe worker's last words:\n{self.log}"

    def as_json(self) -> shapes.Object:
        """Return it as an object for JSON."""
        dead, succeeded = JobState.DEAD, JobState.SUCCEEDED
        return {
            "ok": not self.problems,
            "jobs": len(self.ends),
            "succeeded": self.count(succeeded),
            "retries": self.retries(),
            "dead": self.count(dead),
            "lost": self.count(None),
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "redis": self.redis,
            "kinds": [
                {
                    "kind": kind.name,
                    "jobs": kind.jobs,
                    "succeeded": self.count(succeeded, kind.name),
                    "retries": self.retries(kind.name),
                    "dead": self.count(dead, kind.name),
                }
                for kind in KINDS
            ],
            "killed": self._killed(),
            "dead_letters": [shapes.letter(one) for one in self.letters],
            "problems": self.problems,
        }

    def _killed(self) -> shapes.Object | None:
        kill = self.kill
        if kill.victim is None:
            return None
        return {
            "id": kill.victim.job_id,
            "attempt": kill.victim.attempt,
            "pid": kill.victim.pid,
            "again_after_ms": kill.pause_ms,
            "finished_pid": kill.end.pid if kill.end else None,
            "finished_attempt": kill.end.attempts if kill.end else None,
        }


def summary(report: Report) -> str:
    """Return what it came to, in a sentence."""
    lost = report.count(None)
    return (
        f"{len(report.ends)} jobs in {report.seconds:.1f} s: "
        f"{report.count(JobState.SUCCEEDED)} succeeded, {report.count(JobState.DEAD)} dead, "
        f"{lost or 'none'} lost; {report.retries()} retries."
    )


def farewell(report: Report, *, colours: bool, width: int) -> str:
    """Return the last words: what it came to, and the commands to try next."""
    rate = (
        f"That is {report.rate:.0f} jobs a second, most of which only wait; "
        "`jobq bench` measures how fast jobq is here."
    )
    result = fill(summary(report), width)
    lines = ["", paint(result, "dead" if report.problems else "done", colours=colours)]
    lines.append(fill(rate, width))
    if not report.problems:
        most = max(len(command) for command, _ in _COMMANDS)
        lines += ["", _NEXT]
        for command, why in _COMMANDS:
            bold = paint(command, "bold", colours=colours)
            lines.append(f"    {bold}{' ' * (most - len(command))}  {why}")
        lines += ["", _MORE]
    return "\n".join(lines)
