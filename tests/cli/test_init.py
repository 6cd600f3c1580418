"""`jobq init`: what it writes works, and nothing is written over."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from jobq.cli.discovery import locate
from jobq.cli.init import FILES, JOBS
from jobq.embedded import find_home
from tests.cli.conftest import Run
from tests.conftest import Spawn


def test_it_writes_an_app_and_a_test(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("init")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "Wrote jobs.py, test_jobs.py and pyproject.toml. Now:"
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == ["jobs.py", "pyproject.toml", "test_jobs.py"]
    assert len(JOBS.splitlines()) < 20
    assert locate(None).source == "pyproject.toml"
    assert find_home() == tmp_path / ".jobq"


def test_it_makes_the_directory_in_a_project(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    folder = tmp_path / "a" / "b"
    ran = run("init", str(folder))
    assert ran.code == 0
    assert f"  cd {folder}" in ran.out
    assert {path.name for path in folder.iterdir()} == {name for name, _ in FILES}


@pytest.mark.parametrize("name", [name for name, _ in FILES])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_it_writes_over_nothing(run: Run, tmp_path: Path, name: str, kind: str) -> None:
    mine = tmp_path / name
    if kind == "file":
        mine.write_text("mine")
    else:
        mine.symlink_to("nowhere")
    ran = run("init", str(tmp_path))
    assert ran.code == 1
    assert f"{name} is there already: nothing was written" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert mine.is_symlink() or mine.read_text() == "mine"


def test_a_file_in_the_way(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("init", str(tmp_path / "file")).code == 2
    assert run("init", str(tmp_path / "file" / "x")).code == 1


@pytest.mark.slow
def test_what_it_wrote_works(spawn: Spawn, redis_url: str, tmp_path: Path) -> None:
    spawn("jobq", "init", "shop", cwd=tmp_path).check()
    shop = tmp_path / "shop"
    known = entry_points(group="pytest11", name="jobq")  # the tree has none, unlike the wheel
    env = {} if known else {"PYTEST_PLUGINS": "jobq.pytest_plugin"}
    passed = spawn("python", "-m", "pytest", "-q", "-p", "no:valkey", cwd=shop, env=env)
    assert "1 passed" in passed.check(60)
    worker = spawn("jobq", "dev", cwd=shop)
    worker.wait_for_line("2 job functions|1 job function")
    assert spawn("python", "jobs.py", cwd=shop).check(30) == "Hello, Ada!"
    worker.wait_for_line("ran job=.* name=jobs.greet")
    worker.terminate()
    assert worker.wait() == 0
