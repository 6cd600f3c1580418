"""What is shipped: the suite runs on it, and it is whole."""

import os
import sys
import sysconfig
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

import jobq
from tests.support.source import PACKAGE, ROOT

INSTALLED = pytest.mark.skipif(
    not os.environ.get("JOBQ_TEST_INSTALLED"), reason="the tree is tested, not a wheel"
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


@INSTALLED
def test_the_suite_runs_on_the_installed_wheel() -> None:
    assert jobq.__file__ is not None
    installed = Path(jobq.__file__).resolve()
    assert installed.is_relative_to(Path(sysconfig.get_path("purelib")).resolve())
    assert not {str(ROOT), "", "."} & set(sys.path), "the tree is on the path"


@INSTALLED
def test_all_files_of_the_package_are_shipped() -> None:
    assert jobq.__file__ is not None
    shipped = Path(jobq.__file__).parent
    files = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert Path("py.typed") in files
    assert any(path.suffix == ".lua" for path in files)
    assert not {path.as_posix() for path in files if not (shipped / path).is_file()}


@INSTALLED
def test_nothing_but_the_package_is_shipped() -> None:
    files = distribution("jobq").files or []
    tops = {path.parts[0] for path in files if path.parts[0] != ".."}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"jobq"}


def test_the_version_is_that_of_the_project(project: dict[str, Any]) -> None:
    try:
        installed = distribution("jobq").version
    except PackageNotFoundError:
        pytest.skip("jobq is not installed, its tree is on the path")
    assert installed == project["version"]


def test_the_dependencies_are_four(project: dict[str, Any]) -> None:
    names = [requirement.partition(">")[0] for requirement in project["dependencies"]]
    assert names == ["redis[hiredis]", "click", "msgpack", "croniter"]


def test_the_oldest_dependencies_that_are_tested_are_those_allowed(project: dict[str, Any]) -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    oldest = tox.partition("[testenv:oldest]")[2].partition("[testenv")[0]
    for requirement in project["dependencies"]:
        name, _, bound = requirement.partition(">=")
        assert f"{name}=={bound.partition(',')[0]}" in oldest, requirement
