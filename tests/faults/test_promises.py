"""Each promise has a test that causes its fault, and the page of promises names real tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.faults.conftest import PROMISES
from tests.support.source import ROOT, Function

HERE = Path(__file__).parent

#: How docs/guarantees.md names a test: `tests/faults/test_redis_cut.py::test_something`.
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def proofs_in(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield the name of each test of a module, and the promises that it proves."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name.startswith("test_"):
            yield node.name, {word for mark in node.decorator_list for word in promises_of(mark)}


def promises_of(mark: ast.expr) -> list[str]:
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
        return [ast.literal_eval(argument) for argument in mark.args]
    return []


def modules() -> list[Path]:
    return sorted(set(HERE.glob("test_*.py")) - {Path(__file__)})


def test_every_promise_has_a_fault() -> None:
    proven = {promise for path in modules() for _, some in proofs_in(path) for promise in some}
    assert proven == set(PROMISES)


def test_every_fault_proves_a_promise() -> None:
    idle = [
        f"{path.name}::{name}" for path in modules() for name, some in proofs_in(path) if not some
    ]
    assert not idle, "without @pytest.mark.fault(…)"


def test_the_page_of_promises_names_real_tests() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    unknown = [
        f"{path}::{name}"
        for path, name in NAMED.findall(page)
        if not (ROOT / path).is_file() or name not in dict(proofs_in(ROOT / path))
    ]
    assert not unknown
