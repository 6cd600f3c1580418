"""`jobq dev`: code that changes while its jobs run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobq.cli.watching import _forget_compiled, _is_dull, _short
from jobq.client.app import JobQ
from tests.conftest import Spawn
from tests.scenario.ground import alive, children
from tests.support.process import Child
from tests.support.terminal import on_a_terminal, read_until
from tests.support.wait import wait_until

#: The job function says which code it is; `{0}` is that.
CODE = """
from pathlib import Path
from time import monotonic, sleep

from jobq import JobQ

app = JobQ()


@app.job(name="which")
def which(wait_for: str = "") -> str:
    ends = monotonic() + 30
    if wait_for:
        Path(wait_for + ".began").touch()
    while wait_for and not Path(wait_for).exists() and monotonic() < ends:
        sleep(0.01)
    return {0!r}
"""


class Project:
    """A directory with an app, and `jobq dev` in it."""

    def __init__(self, folder: Path, spawn: Spawn) -> None:
        self.folder = folder
        self._spawn = spawn
        self.app = JobQ()

    def write(self, text: str) -> None:
        """Change the code, as editors do: another file takes its place; always at one time."""
        new = self.folder / "new"
        new.write_text(text)
        os.utime(new, (1_700_000_000, 1_700_000_000))
        new.replace(self.folder / "jobs.py")

    def start(self, *words: str) -> Child:
        """Start `jobq dev`."""
        env = {"PYTHONDONTWRITEBYTECODE": ""}  # it writes: what is old there must not be used
        return self._spawn("jobq", "dev", *words, cwd=self.folder, env=env)

    def result(self) -> object:
        """Run a job, and return which code has run it."""
        return self.app.send("which").result(timeout=20)


@pytest.fixture
def project(tmp_path: Path, spawn: Spawn, redis_url: str) -> Iterator[Project]:
    made = Project(tmp_path, spawn)
    yield made
    made.app.close()


def has(child: Child, text: str, times: int = 1) -> None:
    """Wait until it has said something so often."""
    wait_until(lambda: child.text.count(text) >= times, f"it says {text!r}, {times} times", 20.0)


# ---------------------------------------------------------------------------- fast


def test_no_app_no_worker(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn("jobq", "dev", cwd=tmp_path)
    assert child.wait() == 1
    assert "no app found" in child.text
    assert child.err[-1] == "or start with one: jobq init"


def test_without_watchfiles_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(CODE.format("a"))
    code = (
        "import sys; sys.modules['watchfiles'] = None; "
        "from jobq.cli.main import main; sys.exit(main(['dev']))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "fix: pip install 'jobq[dev]', or jobq dev --no-reload" in done.stderr


def test_which_changes_matter(tmp_path: Path) -> None:
    roots = [tmp_path, tmp_path / "src"]
    assert not _is_dull(str(tmp_path / "src" / "shop" / "jobs.py"), roots)
    assert _is_dull(str(tmp_path / "venv" / "lib" / "x.py"), roots)
    assert _is_dull(str(tmp_path / "lib" / "site-packages" / "x.py"), roots)
    assert _short(str(tmp_path / "src" / "a.py"), roots) == "a.py"
    assert _short("/elsewhere/a.py", roots) == "/elsewhere/a.py"


def test_a_project_in_a_directory_with_a_dull_name_is_watched(tmp_path: Path) -> None:
    root = tmp_path / "venv" / "app"
    assert not _is_dull(str(root / "jobs.py"), [root])


def test_what_python_has_compiled_is_forgotten(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__" / f"jobs.{sys.implementation.cache_tag}.pyc"
    cache.parent.mkdir()
    cache.write_bytes(b"old")
    _forget_compiled([str(tmp_path / "jobs.py"), str(tmp_path / "other.py"), "", "\0"])
    assert not cache.exists()


# ---------------------------------------------------------------------------- real ones


@pytest.mark.slow
def test_changed_code_runs_from_then_on(project: Project) -> None:
    project.write(CODE.format("one"))
    child = project.start()
    has(child, "  stop ")
    assert "1 job function" in child.text
    assert project.result() == "one"
    for number, word in enumerate(("two", "six"), 1):  # as long, and as old, as each other
        project.write(CODE.format(word))
        has(child, "restarted all workers", number)
        assert project.result() == word
    assert child.text.count("changed: jobs.py") == 2
    assert "started job=" in child.text
    assert "ran job=" in child.text
    child.terminate()
    assert child.wait() == 0


@pytest.mark.slow
def test_a_running_job_is_finished_by_the_old_code(project: Project, tmp_path: Path) -> None:
    project.write(CODE.format("one"))
    child = project.start()
    has(child, "  stop ")
    flag = tmp_path / "flag"
    running = project.app.send("which", str(flag))
    wait_until((tmp_path / "flag.began").exists, "the job runs")
    project.write(CODE.format("two"))
    has(child, "restarted all workers")
    assert project.result() == "two", "the new code does not wait for the old job"
    assert running.status() == "running"
    flag.touch()
    assert running.result(timeout=20) == "one"
    assert "attempt=2" not in child.text
    child.terminate()
    assert child.wait() == 0


@pytest.mark.slow
def test_broken_code_shows_itself_and_waits(project: Project) -> None:
    project.write("def which(:\n")
    child = project.start()
    has(child, "Waiting for a change in")
    assert "SyntaxError" in child.text
    project.write("1 / 0\n")
    has(child, "Waiting for a change in", 2)
    assert "ZeroDivisionError" in child.text
    project.write(CODE.format("one"))
    has(child, "  stop ")
    assert project.result() == "one"

    project.write("import nothing_of_that_name\n")
    has(child, "kept the old workers")
    assert "No module named 'nothing_of_that_name'" in child.text
    assert project.result() == "one", "the old code goes on"
    project.write(CODE.format("two"))
    has(child, "restarted all workers")
    assert project.result() == "two"
    child.terminate()
    assert child.wait() == 0


@pytest.mark.slow
def test_a_fix_that_comes_while_the_broken_code_loads_is_not_missed(project: Project) -> None:
    project.write(CODE.format("one"))
    child = project.start()
    has(child, "  stop ")
    loading = project.folder / "loading"
    project.write(
        "from pathlib import Path\nfrom time import sleep\n"
        f"Path({str(loading)!r}).touch()\nsleep(1)\n1 / 0\n"
    )
    wait_until(loading.exists, "the broken code loads")
    project.write(CODE.format("two"))
    has(child, "restarted all workers")
    assert project.result() == "two"


@pytest.mark.slow
def test_other_directories_can_be_watched(project: Project, tmp_path: Path) -> None:
    project.write(
        "import sys\nsys.path.insert(0, 'lib')\n" + CODE.replace("{0!r}", "__import__('word').WORD")
    )
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "word.py").write_text("WORD = 'one'\n")
    child = project.start("--watch", "lib", "--processes", "2")
    has(child, "  stop ")
    assert project.result() == "one"
    (lib / "word.py").write_text("WORD = 'two'\n")
    has(child, "restarted all workers")
    assert "restarting workers=2" in child.text
    assert project.result() == "two"
    (lib / "notes.txt").write_text("no code")
    (tmp_path / "elsewhere.py").write_text("")
    (lib / "word.py").write_text("WORD = 'six'\n")
    has(child, "restarted all workers", 2)
    assert child.text.count("changed: word.py") == child.text.count("changed: ") == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_nobody_is_left(project: Project, how: str) -> None:
    project.write(CODE.format("one"))
    child = project.start()
    has(child, "  stop ")
    family = wait_until(lambda: children(child.pid), "it has children")
    assert len(family) >= 2, "the watcher and a worker"
    getattr(child, how)()
    wait_until(lambda: not any(map(alive, family)), "all have ended", 20.0)


@pytest.mark.slow
def test_without_reload_nothing_is_watched(project: Project) -> None:
    project.write(CODE.format("one"))
    child = project.start("--no-reload")
    has(child, "reload  not watched")
    assert project.result() == "one"
    assert len(children(child.pid)) == 1
    child.terminate()
    assert child.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("text", [CODE.format("one"), "1 / 0\n"])
def test_ctrl_c_on_a_terminal_ends_it(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "jobs.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with on_a_terminal(["dev"], redis_url) as (process, terminal):
        said = read_until(terminal, b"Ctrl-C")
        assert b"\x1b[1mjobq dev" in said or b"Waiting for a change" in said
        family = children(process.pid)
        os.write(terminal, b"\x03")
        assert process.wait(20) == (0 if b"jobq dev" in said else 1)
    wait_until(lambda: not any(map(alive, family)), "all have ended")


@pytest.mark.slow
def test_breakpoint_works_in_a_job(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = CODE.format("one").replace("    ends =", "    secret = 42\n    breakpoint()\n    ends =")
    (tmp_path / "jobs.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with JobQ() as app, on_a_terminal(["dev"], redis_url) as (process, terminal):
        read_until(terminal, b"twice: give it back")
        handle = app.send("which")
        read_until(terminal, b"(Pdb) ")
        os.write(terminal, b"p secret + 1\n")
        read_until(terminal, b"43")
        os.write(terminal, b"c\n")
        assert handle.result(timeout=20) == "one"
        os.write(terminal, b"\x03")  # to all of them; the debugger has asked for it at its `c`
        assert process.wait(20) == 0
