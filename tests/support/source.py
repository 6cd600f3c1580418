"""Where the project's files are, and questions about Python sources."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "jobq"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    """List jobq's modules in the tree."""
    return sorted(PACKAGE.rglob("*.py"))


def scripts() -> list[Path]:
    """List jobq's Lua scripts in the tree."""
    return sorted((PACKAGE / "store" / "lua").glob("*.lua"))


def documents() -> list[Path]:
    """List the README and the pages of the docs."""
    pages = [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
    return [path for path in (ROOT / "README.md", *sorted(pages)) if path.exists()]


def name(path: Path) -> str:
    """Tell the path of a project file as people write it."""
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def own_imports(function: Function) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports of jobq's own modules inside a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Import):
            if any(alias.name.split(".")[0] == "jobq" for alias in node.names):
                yield node
        elif isinstance(node, ast.ImportFrom) and (
            node.level or (node.module or "").split(".")[0] == "jobq"
        ):
            yield node


def parameters(function: Function) -> int:
    """Count the parameters of a function, without self."""
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1


def fields(klass: ast.ClassDef) -> int:
    """Count what the `__init__` of a dataclass takes; 0 for any other class."""
    if not any("dataclass" in ast.dump(decorator) for decorator in klass.decorator_list):
        return 0
    return sum(
        isinstance(node, ast.AnnAssign)
        and "ClassVar" not in ast.dump(node.annotation)
        and not (node.value is not None and "init=False" in ast.unparse(node.value))
        for node in klass.body
    )


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and content of text and bytes literals, but no docstrings.

    A part of an f-string that is followed by a value ends in a brace.
    """
    nodes = list(ast.walk(tree))
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | Function)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    open_ended = {
        id(part)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
        for part, following in pairwise(node.values)
        if isinstance(following, ast.FormattedValue)
    }
    for node in nodes:
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value + "{" * (id(node) in open_ended)
        elif isinstance(node.value, bytes):
            yield node.lineno, node.value.decode("latin-1")
