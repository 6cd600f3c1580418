"""How the demo looks, and how it judges itself."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from jobq.cli.demo_jobs import KINDS, SLOW, Note, calls, read_notes
from jobq.cli.demo_kill import Kill
from jobq.cli.demo_report import Report, farewell
from jobq.cli.demo_stage import End, Progress, Stage
from jobq.cli.demo_view import Lines, Marks, Scene, Screen, picture, view_of
from jobq.cli.output import clean, width
from jobq.core.job import JobState

MARKS = Marks("#", "x", "~", "=", ".")
HALF = [Progress(kind, kind.jobs - kind.jobs // 2, kind.jobs // 4, 0, 0) for kind in KINDS]


class Tty(io.StringIO):
    """A terminal, as far as `isatty` can tell; its size is not known."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


# ---------------------------------------------------------------------------- what is seen


@pytest.mark.parametrize("columns", [59, 70, 79, 100, 119, 300])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    scene = Scene("title " * 100, 1.0, HALF, [(0.5, "long \x1b[2J" * 50)])
    lines = picture(scene, columns, MARKS, last=False)
    assert max(width(clean(line)) for line in lines) <= columns
    assert "2J" not in "".join(lines)


def test_a_bar_has_its_parts() -> None:
    hopeless = Progress(KINDS[3], left=3, running=1, retrying=1, dead=1)
    line = clean(picture(Scene("", progress=[hopeless]), 79, MARKS, last=True)[3])
    bar = line.split()[3]
    assert line.split()[-3:] == ["0/4", "1", "1"]
    quarters = [bar.count(mark) / len(bar) for mark in "x~=."]
    assert quarters == pytest.approx([0.25] * 4, abs=0.05)
    assert bar == "".join(sorted(bar, key="x~=.".index))


@pytest.mark.parametrize("variable", ["CI", "NO_COLOR", "TERM"])
def test_plain_lines_where_a_screen_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert isinstance(view_of(Tty()), Screen)
    assert isinstance(view_of(io.StringIO()), Lines)
    monkeypatch.setenv(variable, "dumb")
    assert isinstance(view_of(Tty()), Lines)


def test_plain_lines_tell_each_event_once() -> None:
    stream = io.StringIO()
    view = Lines(stream)
    scene = Scene("demo", 0.2, HALF)
    for seconds in (0.2, 0.4, 1.2, 1.4):
        scene.seconds = seconds
        if seconds == 0.4:
            scene.happened(0.3, "kill -9 7")
        view.show(scene)
    view.show(scene, last=True)
    counts = "done: 120 quick, 30 async, 10 flaky, 4 slow; 0 retrying; 0 dead"
    assert stream.getvalue().splitlines() == ["demo", "   0.3 s  kill -9 7", f"   1.2 s  {counts}"]


# ---------------------------------------------------------------------------- what is judged


def good_ends() -> list[End]:
    """Return how all jobs end when all goes well; the first slow one was killed."""
    ends = []
    for kind in KINDS:
        state = JobState.DEAD if kind.dies else JobState.SUCCEEDED
        ends += [End(f"{kind.name}{n}", kind, state, kind.attempts, 9) for n in range(kind.jobs)]
    return [replace(end, attempts=2) if end.job_id == "slow0" else end for end in ends]


@pytest.fixture
def kill(tmp_path: Path) -> Kill:
    """A kill that went well."""
    one = Kill(Stage("redis://127.0.0.1:1", ""), tmp_path / "notes")
    one.victim, one.again = Note("slow0", 1, 7, 1.0), Note("slow0", 2, 9, 1.5)
    one.end = End("slow0", KINDS[-1], JobState.SUCCEEDED, 2, 9)
    return one


def report_of(ends: list[End], kill: Kill, code: int = 0) -> Report:
    return Report(ends=ends, letters=(), kill=kill, seconds=2.0, redis="", code=code, log="  hm")


def test_all_went_well(kill: Kill) -> None:
    report = report_of(good_ends(), kill)
    assert report.problems == []
    assert "328 succeeded, 4 dead, none lost; 49 retries." in farewell(
        report, colours=False, width=79
    )
    assert max(map(width, farewell(report, colours=False, width=79).splitlines())) <= 79


@pytest.mark.parametrize(
    ("job_id", "state", "attempts", "problem"),
    [
        ("quick3", None, 0, "1 quick jobs have neither a result nor a dead letter"),
        ("quick3", JobState.DEAD, 4, "1 quick jobs are dead; they should be succeeded"),
        ("flaky3", JobState.SUCCEEDED, 1, "1 flaky jobs had less than 3 attempts"),
        ("hopeless3", JobState.SUCCEEDED, 3, "1 hopeless jobs are succeeded; they should be dead"),
        ("hopeless3", JobState.DEAD, 2, "1 hopeless jobs had less than 3 attempts"),
    ],
)
def test_one_job_that_ends_otherwise_is_a_problem(
    kill: Kill, job_id: str, state: JobState | None, attempts: int, problem: str
) -> None:
    ends = [
        replace(end, state=state, attempts=attempts) if end.job_id == job_id else end
        for end in good_ends()
    ]
    report = report_of(ends, kill)
    assert report.problems == [problem]
    assert report.as_json()["ok"] is False
    assert problem in report.complaint()
    assert "hm" in report.complaint()
    assert "Try it yourself" not in farewell(report, colours=False, width=79)


def test_a_missing_job_and_a_failed_worker_are_problems(kill: Kill) -> None:
    assert report_of(good_ends()[1:], kill, code=3).problems == [
        "239 quick jobs were enqueued, not 240",
        "the worker ended with exit code 3",
    ]


def test_a_kill_without_its_consequences_is_a_problem(kill: Kill) -> None:
    assert kill.problem() is None
    kill.end = End("slow0", KINDS[-1], JobState.SUCCEEDED, 1, 7)
    assert "ended in process 7, attempt 1" in str(kill.problem())
    kill.end = None
    assert "did not succeed" in str(kill.problem())
    kill.again = None
    assert "was not started again" in str(kill.problem())
    kill.victim = None
    assert "no process was killed" in str(kill.problem())
    assert report_of(good_ends(), kill).as_json()["killed"] is None


# ---------------------------------------------------------------------------- its jobs


def test_half_a_note_is_not_read(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert read_notes(notes) == []
    notes.write_text("a 1 7 2.5\nb 1 8 3.")
    assert read_notes(notes) == [Note("a", 1, 7, 2.5)]


def test_there_are_as_many_calls_as_jobs(tmp_path: Path) -> None:
    assert [len(calls(kind, tmp_path)) for kind in KINDS] == [kind.jobs for kind in KINDS]
    assert max(SLOW) == SLOW[0]
