"""The log calls of the package, as they stand in its code."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support import source

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


@dataclass(frozen=True, slots=True)
class LogCall:
    """A log call: where it stands, its level, and the message before its arguments are put in.

    Attributes:
        message: None: it is put together when the call is made.
    """

    where: str
    level: str
    message: str | None


def log_calls() -> list[LogCall]:
    """Return all log calls of the package."""
    return [
        found
        for path in source.modules()
        for found in _calls(source.name(path), ast.parse(path.read_text(encoding="utf-8")))
    ]


def _calls(name: str, tree: ast.Module) -> Iterator[LogCall]:
    constants = dict(found for node in tree.body for found in _text(node))
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        inside = list(_within(scope))
        texts = constants | dict(found for node in inside for found in _text(node))
        for node in inside:
            match node:
                case ast.Call(func=ast.Attribute(ast.Name("log" | "logger"), level), args=args):
                    if level in LEVELS:
                        where = f"{name}:{node.lineno}"
                        yield LogCall(where, level, _message(args, texts))


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """Go through what is in a function or a module, but not in functions inside of it."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _within(node)


def _text(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(text))):
            yield name, text
        case ast.AnnAssign(target=ast.Name(name), value=ast.Constant(str(text))):
            yield name, text


def _message(args: list[ast.expr], texts: dict[str, str]) -> str | None:
    match args:
        case [ast.Constant(str(text)), *_]:
            return text
        case [ast.Name(name), *_]:
            return texts.get(name)
    return None
