"""Whatever the README and the docs show, works."""

from pathlib import Path

import pytest

from tests.support import source
from tests.support.examples import Reader


@pytest.mark.parametrize("path", source.documents(), ids=source.name)
def test_the_examples_of_a_document_work(path: Path, reader: Reader) -> None:
    reader.follow(path)
