"""The runner of examples sees what is wrong with an example."""

from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.support.examples import Reader, alike, dialogue

STORY = """\
# A story

<!-- file: lib/greet.py -->
```python
def greet(name: str) -> str:
    return f"hello {name}"
```

```python
from lib.greet import greet
words = greet("ada")
```

Text between, and a block that nobody runs:

```python-repl
>>> 1 / 0
```

<!-- skip: next -->

```python
raise SystemExit("skipped")
```

```python
assert words == "hello ada"
import os
assert os.environ["JOBQ_REDIS_URL"].startswith("unix:")
```

```console
$ python -c "from lib.greet import greet; print(greet('bob'))"
hello bob
$ echo one; \\
echo   two 2>&1
one
two
$ test -f lib/greet.py
$ echo "a b c"; echo $JOBQ_REDIS_URL
a ... c
unix:...
```
"""


def test_a_document_is_followed_from_top_to_bottom(reader: Reader, tmp_path: Path) -> None:
    story = tmp_path / "story.md"
    story.write_text(STORY)
    assert reader.follow(story) == 6


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("```python\nx = 1\n\nx / 0\n```\n", r'(?s)bad\.md, line 3.*bad\.md", line 6.*ZeroDiv'),
        ("```python\nprint('so far')\nraise SystemExit\n```\n", r"(?s)so far.*SystemExit"),
        ("```python\nimport os\nos._exit(1)\n```\n", "its Python ended"),
        ("```console\n$ echo so; exit 3\n```\n", r"(?s)\$ echo so.*so\nexit code 3"),
        ("```console\n$ echo so\nnot so\n```\n", r"(?s)shown:\nnot so\n.*said:\nso\n"),
    ],
)
def test_a_false_example_is_seen(
    block: str, complaint: str, reader: Reader, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.md"
    bad.write_text(f"# Bad\n\n{block}")
    with pytest.raises(SybilFailure, match=complaint):
        reader.follow(bad)


def test_a_console_block_is_a_dialogue() -> None:
    assert dialogue("$ a \\\n  b\nout\n\nmore\n$ c\n") == [
        ("a \\\n  b", "out\n\nmore\n"),
        ("c", ""),
    ]
    with pytest.raises(ValueError, match="starts with"):
        dialogue("a\n")


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("a b", " a   b\n"),
        ("a...", "abc\ndef"),
        ("a ... d", "a\nb c\nd"),
        ("...", ""),
        ("id ... ok ...", "id 123 ok\nmore"),
        ("f(x) [1]", "f(x)  [1]"),
    ],
)
def test_what_is_alike(shown: str, said: str) -> None:
    assert alike(shown, said)


@pytest.mark.parametrize(("shown", "said"), [("a b", "ab"), ("a", "a b"), ("a ... c", "a b")])
def test_what_is_not_alike(shown: str, said: str) -> None:
    assert not alike(shown, said)
