"""The signature of a job function, laid out so that most calls are checked in a microsecond."""

import sys
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature, signature
from typing import Final

from jobq.core.annotations import Function
from jobq.errors import ArgumentError, OptionError

_BY_POSITION: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Shape:
    """Checks that arguments fit a function; pure.

    Args:
        name: of the job function, for messages.
        qualname: of the function, as Python has it.
        layout: its signature.
    """

    __slots__ = ("_free", "_layout", "_most", "_name", "_needed", "_positions", "_refusal", "_rest")

    def __init__(self, name: str, qualname: str, layout: Signature) -> None:
        parameters = list(layout.parameters.values())
        places = [one for one in parameters if one.kind in _BY_POSITION]
        self._name = name
        self._layout = layout
        self._positions = [one.name for one in places]
        rest = [one.name for one in parameters if one.kind is Parameter.VAR_POSITIONAL]
        self._rest = rest[0] if rest else ""
        self._refusal = _refusal(qualname, parameters)
        #: The most arguments by position that can be decided without `Signature.bind`.
        self._most = -1 if self._refusal else len(places)
        # For each number of arguments by position: which names are free, which must be given.
        names = [one for one in parameters if one.kind in _BY_NAME]
        taken = [frozenset(self._positions[:count]) for count in range(len(places) + 1)]
        self._free = [frozenset(one.name for one in names) - gone for gone in taken]
        self._needed = [
            frozenset(one.name for one in parameters if _is_needed(one)) - gone for gone in taken
        ]

    @property
    def layout(self) -> Signature:
        """The signature."""
        return self._layout

    def check(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Check that a function can be called with these arguments.

        Raises:
            ArgumentError: it cannot; says why, and the signature.
        """
        count = len(args)
        if count <= self._most:
            if not kwargs:
                if not self._needed[count]:
                    return
            elif self._needed[count] <= kwargs.keys() <= self._free[count]:
                return
        self._bind(args, kwargs)

    def describe(self, place: int | str) -> str:
        """Return the name of an argument, for a message.

        Args:
            place: its position, or its name.
        """
        if isinstance(place, str):
            return place
        beyond = place - len(self._positions)
        return self._positions[place] if beyond < 0 else f"*{self._rest}[{beyond}]"

    def _bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        if self._refusal:
            raise ArgumentError(f"{self._name}: {self._refusal}")
        try:
            self._layout.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"{self._name}: {error}. Its signature: {self._name}{self._layout}"
            ) from None


def signature_of(function: Function) -> Signature:
    """Return the signature of a function, whatever its annotations name.

    Raises:
        OptionError: it has none: some functions written in C.
    """
    try:
        if sys.version_info >= (3, 14):
            from annotationlib import Format  # noqa: PLC0415  not in older Pythons

            return signature(function, annotation_format=Format.FORWARDREF)
        return signature(function)
    except ValueError as error:
        raise OptionError(f"@job: {error}; wrap it in a function of your own") from None


def _is_needed(parameter: Parameter) -> bool:
    variable = parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    return not variable and parameter.default is Parameter.empty


def _refusal(qualname: str, parameters: Sequence[Parameter]) -> str:
    """Return why a method cannot be called as a job; empty if it is none."""
    inside = "." in qualname.rpartition("<locals>.")[2]
    first = parameters[0].name if parameters else ""
    if not inside or first not in {"self", "cls"}:
        return ""
    return (
        f"{qualname} is a method, and a worker has no {first!r} to call it on. Make it a function "
        "of the module, or put @staticmethod above @job, and send what it needs as arguments."
    )
