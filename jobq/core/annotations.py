"""Makes arguments again what the annotations of a job function say they are.

Enums, dataclasses, named tuples and pydantic models travel as plain data. The worker rebuilds
them from the annotations of its own function, never from a path in the payload. Where there is
no annotation, or one that cannot be resolved, the plain data arrives.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, Signature, signature, unwrap

from jobq.core.builders import Builder, Misfit, builder_of, optional, resolve_hint
from jobq.errors import ArgumentError

#: What a user decorates.
Function = Callable[..., object]


class Rebuild:
    """Rebuilds the arguments of one job function; made by `rebuilder`.

    Annotations are resolved at the first call: a class may be defined below the function.
    """

    __slots__ = ("_by_name", "_by_position", "_function", "_more_args", "_more_kwargs")

    def __init__(self, function: Function) -> None:
        self._function = function
        #: One entry for each positional parameter; None until the first call.
        self._by_position: list[tuple[str, Builder | None]] | None = None
        self._by_name: dict[str, Builder] = {}
        self._more_args: tuple[str, Builder] | None = None
        self._more_kwargs: Builder | None = None

    def apply(
        self, args: list[object], kwargs: dict[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        """Return the arguments, rebuilt.

        Args:
            args: positional arguments, as decoded.
            kwargs: keyword arguments, as decoded.

        Raises:
            ArgumentError: a value cannot become what its parameter's annotation says.
        """
        if self._by_position is None:
            self._by_position = self._resolve()
        if args and (self._more_args or self._by_position):
            args = self._rebuild_args(args, self._by_position)
        if kwargs and (self._by_name or self._more_kwargs):
            kwargs = {
                name: self._rebuild(name, self._by_name.get(name, self._more_kwargs), value)
                for name, value in kwargs.items()
            }
        return args, kwargs

    def _rebuild_args(
        self, args: list[object], by_position: list[tuple[str, Builder | None]]
    ) -> list[object]:
        known = len(by_position)
        rebuilt = [
            self._rebuild(name, build, value)
            for (name, build), value in zip(by_position, args, strict=False)
        ]
        more = args[known:]
        if self._more_args is None:
            return rebuilt + more
        name, build = self._more_args
        return rebuilt + [
            self._rebuild(f"*{name}[{index}]", build, value) for index, value in enumerate(more)
        ]

    def _rebuild(self, name: str, build: Builder | None, value: object) -> object:
        if build is None:
            return value
        try:
            return build(value)
        except Misfit as misfit:
            called = getattr(self._function, "__qualname__", repr(self._function))
            raise ArgumentError(f"{called}({name}=…): argument {name!r}{misfit}") from None

    def _resolve(self) -> list[tuple[str, Builder | None]]:
        by_position: list[tuple[str, Builder | None]] = []
        for name, parameter in _signature(self._function).parameters.items():
            build = builder_of(_hint(self._function, name))
            if build is not None and parameter.default is None:  # `x: Color = None`
                build = optional(build)
            if parameter.kind is Parameter.VAR_POSITIONAL:
                self._more_args = None if build is None else (name, build)
            elif parameter.kind is Parameter.VAR_KEYWORD:
                self._more_kwargs = build
            else:
                if parameter.kind is not Parameter.KEYWORD_ONLY:
                    by_position.append((name, build))
                if build and parameter.kind is not Parameter.POSITIONAL_ONLY:
                    self._by_name[name] = build
        needed = any(build for _, build in by_position) or self._more_args
        return by_position if needed else []


def rebuilder(function: Function) -> Rebuild | None:
    """Return what rebuilds a function's arguments, or None if none of them needs it.

    Args:
        function: a function, a method or a partial.

    An annotation that cannot be resolved yet (a class further down) is looked at again at the
    first call; one that cannot be resolved then either needs no rebuild.
    """
    for name in _signature(function).parameters:
        try:
            hint = _resolved(function, name)
        except Exception:  # noqa: BLE001  a name that does not exist yet, or not at run time
            return Rebuild(function)
        if builder_of(hint) is not None:
            return Rebuild(function)
    return None


def _hint(function: Function, name: str) -> object:
    try:
        return _resolved(function, name)
    except Exception:  # noqa: BLE001  whatever evaluating an annotation raises: it tells us nothing
        return None


def _resolved(function: Function, name: str) -> object:
    """Return the annotation of one parameter, as a type; None if it has none.

    Raises:
        Exception: what evaluating it raised.
    """
    annotation = _signature(function).parameters[name].annotation
    if annotation is Parameter.empty:
        return None
    inner = _innermost(function)
    scope: Mapping[str, object] = getattr(inner, "__globals__", {})
    return resolve_hint(annotation, scope, getattr(inner, "__type_params__", ()))


def _innermost(function: Function) -> Function:
    while isinstance(function, partial):
        function = function.func
    inner: Function = unwrap(function)
    return getattr(inner, "__func__", inner)


def _signature(function: Function) -> Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # noqa: PLC0415  not in older Pythons

        return signature(function, annotation_format=Format.FORWARDREF)
    return signature(function)
