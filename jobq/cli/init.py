"""`jobq init`: a first app, and a test of it that passes."""

from pathlib import Path
from typing import Final

import click

from jobq.cli.output import clean, paint, say
from jobq.errors import JobqError

JOBS: Final = '''\
"""The jobs of this project; jobq finds them by the name of this file."""

from jobq import JobQ

app = JobQ()


@app.job(retries=3, timeout="30s")
def greet(name: str) -> str:
    if not name:
        raise ValueError("nobody to greet")
    return f"Hello, {name}!"


if __name__ == "__main__":
    print(greet.delay("Ada").result(timeout=30))
'''

TESTS: Final = '''\
"""Each test has a Redis of its own, and runs jobs without a worker."""

from jobq.testing import Session
from jobs import greet


def test_who_is_greeted(jobq: Session) -> None:
    greet.delay("Ada")
    jobq.assert_enqueued(greet, "Ada")
    (ran,) = jobq.run_all()
    assert ran.value == "Hello, Ada!"
'''

PROJECT: Final = """\
# Makes this directory a project with a server of its own: its data is in .jobq/.
[tool.jobq]
app = "jobs"
"""

#: What is written, in this order.
FILES: Final = (("jobs.py", JOBS), ("test_jobs.py", TESTS))
#: What is written too where there is none, here or above.
MARK: Final = "pyproject.toml"


@click.command()
@click.argument(
    "folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path)
)
def init(folder: Path) -> None:
    """Write a first app, and a test of it, into DIR or here.

    A file that is there already is never written over: then nothing is written.
    """
    taken = [name for name, _ in FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise JobqError(
            f"{clean(str(folder / taken[0]))} is there already: nothing was written\n"
            "fix: name an empty directory, such as jobq init myapp"
        )
    folder.mkdir(parents=True, exist_ok=True)
    files = [*FILES, *(() if _is_in_project(folder) else ((MARK, PROJECT),))]
    for name, text in files:
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
    names = " and ".join((", ".join(name for name, _ in files[:-1]), files[-1][0]))
    where = "" if folder == Path() else f" in {clean(str(folder))}"
    say(f"Wrote {names}{where}. Now:")
    say()
    steps = [
        ("jobq dev", "runs the jobs, and loads jobs.py anew when you change it"),
        ("python jobs.py", "enqueues one, from another terminal"),
        ("pytest", "runs the test, without a worker"),
    ]
    if where:
        steps.insert(0, (f"cd {clean(str(folder))}", ""))
    for command, what in steps:
        say(f"  {paint(f'{command:16}', 'bold')}  {what}".rstrip())


def _is_in_project(folder: Path) -> bool:
    here = folder.resolve()
    return any((one / MARK).exists() for one in (here, *here.parents))
