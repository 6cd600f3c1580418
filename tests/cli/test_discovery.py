"""Finding the app."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import jobq
from jobq import default_app
from jobq.cli.discovery import AppBroken, describe, find, find_app, locate
from jobq.errors import AppNotFound, ConfigError
from tests.conftest import Spawn

Write = Callable[[str, str], Path]

APP = "from jobq import JobQ\napp = JobQ(name='{}')\n"


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory of one's own; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in {"", "."}])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    names = set(default_app.registry.names())
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    known = default_app.registry._by_name
    for name in set(known) - names:
        del known[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below the current directory: ``write("shop/jobs.py", "…")``."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


# ---------------------------------------------------------------------------- where


def test_the_order(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("given", "named", "projects", "jobs"):
        write(f"{name}.py", APP.format(name))
    assert find_app(None).name == "jobs"
    assert describe(None) == "jobs (from jobs.py)"
    write("pyproject.toml", '[tool.jobq]\napp = "projects:app"\n')
    assert find_app(None).name == "projects"
    assert describe(None) == "projects:app (from pyproject.toml)"
    monkeypatch.setenv("JOBQ_APP", "named")
    assert find_app(None).name == "named"
    assert describe(None) == "named (from JOBQ_APP)"
    assert find_app("given").name == "given"
    found = find("given:app")
    assert found.name == "given:app (from --app)"


def test_the_nearest_pyproject_upwards(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pyproject.toml", '[tool.jobq]\napp = "shop.jobs"\n')
    write("shop/__init__.py", "")
    write("shop/jobs.py", APP.format("shop"))
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_app(None).name == "shop"
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'a'\n")
    with pytest.raises(AppNotFound, match="has no app under"):
        find_app(None)


def test_what_was_tried_is_told_in_order(tmp_path: Path, write: Write) -> None:
    write("pyproject.toml", "")
    with pytest.raises(AppNotFound) as caught:
        find(None)
    lines = str(caught.value).splitlines()
    assert lines[0] == "no app found. Tried, in this order:"
    assert lines[1:5] == [
        "  1. --app: not given",
        "  2. JOBQ_APP: not set",
        f"  3. {tmp_path}/pyproject.toml: has no app under [tool.jobq]",
        f"  4. jobs.py: not in {tmp_path}",
    ]
    assert lines[5].startswith("fix: ")


@pytest.mark.parametrize(
    "text", ["[tool.jobq", "[tool.jobq]\napp = 3\n", "[tool.jobq]\napp = ''\n", "\x00"]
)
def test_a_pyproject_that_cannot_be_used(write: Write, text: str) -> None:
    write("pyproject.toml", text)
    with pytest.raises(ConfigError, match=r"pyproject\.toml"):
        find(None)


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\njobq = 3", "[tool.jobq]\n"])
def test_a_pyproject_without_an_app(write: Write, text: str) -> None:
    write("pyproject.toml", text)
    write("jobs.py", APP.format("jobs"))
    assert locate(None).source == "jobs.py"


def test_the_current_directory_is_on_the_path(write: Write, tmp_path: Path) -> None:
    write("helper.py", "NAME = 'helped'\n")
    write("jobs.py", "import helper\n" + APP.format("x"))
    find_app(None)
    find_app(None)
    assert sys.path.count(str(tmp_path)) == 1


def test_other_directories_stay_off_the_path(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pyproject.toml", "[tool.jobq]\napp = 'named'\n")
    write("named.py", APP.format("x"))
    below = write("below/json.py", "raise SystemExit\n").parent
    monkeypatch.chdir(below)
    find_app(None)
    assert str(tmp_path) in sys.path
    assert str(below) not in sys.path


def test_python_can_be_told_to_leave_it_off(write: Write, spawn: Spawn, tmp_path: Path) -> None:
    write("jobs.py", APP.format("x"))
    env = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(Path(jobq.__file__).parents[1])}
    child = spawn("jobq", "worker", "--burst", cwd=tmp_path, env=env)
    assert child.wait(30) == 1
    assert "no module named 'jobs'" in child.text


# ---------------------------------------------------------------------------- which


def test_a_name_that_says_more_goes_first(write: Write) -> None:
    write("three.py", APP.format("app") + "jobq = JobQ(name='jobq')\nother = JobQ(name='other')\n")
    write("two.py", "from jobq import JobQ\nb = JobQ(name='b')\nqueue = JobQ(name='queue')\n")
    write("alias.py", "from jobq import JobQ\na = b = JobQ(name='same')\n")
    assert find_app("three").name == "app"
    assert find_app("two").name == "queue"
    assert find_app("alias").name == "same"


def test_several_apps_and_none_of_the_usual_names(write: Write) -> None:
    write("many.py", "from jobq import JobQ\nx = JobQ()\ny = JobQ()\n")
    with pytest.raises(AppNotFound, match=r"several apps: x, y. fix: name one, such as many:x"):
        find("many")


def test_the_default_app_of_a_module_with_job_functions(write: Write) -> None:
    write("plain.py", "from jobq import job\n@job\ndef f(): pass\n")
    assert find_app("plain") is default_app
    assert find_app("plain") is default_app
    write("empty.py", "import jobq\n")
    with pytest.raises(AppNotFound, match=r"empty .* has no app and no job function"):
        find("empty")


def test_a_factory(write: Write) -> None:
    write("made.py", "from jobq import JobQ\ndef make(): return JobQ(name='made')\ndef no(): 1/0\n")
    assert find_app("made:make()").name == "made"
    with pytest.raises(AppNotFound, match=r"is a function, not a JobQ. If it makes one: made:make"):
        find("made:make")
    with pytest.raises(AppBroken, match="ZeroDivisionError"):
        find("made:no()")
    with pytest.raises(AppNotFound, match="cannot be called"):
        find("made:__name__()")


def test_a_nested_attribute(write: Write) -> None:
    write("nest.py", "from jobq import JobQ\nclass Shop:\n    app = JobQ(name='nested')\n")
    assert find_app("nest:Shop.app").name == "nested"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("shop.jbos", r"no module named 'shop.jbos', which --app names. Did you mean shop.jobs\?"),
        ("shpo.jobs", r"no module named 'shpo', which --app names. Did you mean shop\?"),
        ("nothing_like_it", r"no module named 'nothing_like_it'"),
        ("shop.jobs.app", r"'shop.jobs.app' .* is no module. Did you mean shop.jobs:app\?"),
        ("shop.jobs:ap", r"shop.jobs has no 'ap', which --app names. Did you mean 'app'\?"),
        ("shop.jobs:zzz", r"Its apps: app"),
        ("shop.jobs:app.zzz", r"has no 'app.zzz'"),
        ("shop.jobs:JobQ", "is a type, not a JobQ"),
        ("shop/jobs.py", r"is not the name of an app.*\nfix: shop.jobs"),
        ("shop/jobs.py:app", r"\nfix: shop.jobs:app"),
        ("./shop/jobs.py", r"\nfix: shop.jobs"),
        ("shop.jobs:", "is not the name of an app"),
        (":app", "is not the name of an app"),
        ("..", "is not the name of an app"),
        ("a b", "is not the name of an app"),
        ("shop.jobs:app:app", "has no 'app:app'"),
    ],
)
def test_an_app_that_is_not_there(write: Write, spec: str, problem: str) -> None:
    write("shop/__init__.py", "")
    write("shop/jobs.py", APP.format("shop"))
    with pytest.raises(AppNotFound, match=problem):
        find(spec)


# ---------------------------------------------------------------------------- broken


def test_an_error_inside_the_module_shows_its_own_traceback(write: Write) -> None:
    write("broken.py", "import inner\n")
    write("inner.py", "def fail():\n    raise ValueError('of mine')\nfail()\n")
    with pytest.raises(AppBroken) as caught:
        find("broken")
    text = str(caught.value)
    assert text.startswith("broken (from --app) cannot be imported:\n\nTraceback")
    assert 'inner.py", line 2, in fail' in text
    assert 'broken.py", line 1, in <module>' in text
    assert text.endswith("ValueError: of mine")
    assert "importlib" not in text
    assert "discovery" not in text


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import not_there_at_all\n", "No module named 'not_there_at_all'"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(7)\n", "SystemExit: 7"),
        ("from jobq import nope\n", "cannot import name 'nope'"),
        ("raise RuntimeError('x')\n", "RuntimeError: x"),
    ],
)
def test_ways_to_be_broken(write: Write, code: str, ending: str) -> None:
    write("jobs.py", code)
    with pytest.raises(AppBroken, match=r"jobs .from jobs.py. cannot be imported") as caught:
        find(None)
    assert ending in str(caught.value)
