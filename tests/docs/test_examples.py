"""Whatever the README and the docs show, works."""

from pathlib import Path

import pytest

from tests.support import source
from tests.support.examples import Reader

#: What whoever runs the tests for the first time has just read. The others take a minute: they
#: belong to the docs, and are run with them.
FIRST = frozenset({"README.md", "docs/quickstart.md"})

DOCUMENTS = [
    pytest.param(path, marks=() if source.name(path) in FIRST else pytest.mark.slow)
    for path in source.documents()
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=source.name)
def test_the_examples_of_a_document_work(path: Path, reader: Reader) -> None:
    reader.follow(path)
