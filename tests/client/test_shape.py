"""The quick check of arguments agrees with Python's own, for any signature."""

from inspect import Parameter, Signature
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.client.shape import Shape
from jobq.errors import ArgumentError

KINDS = [
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
]
NAMES = ["a", "b", "c", "d"]


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    parameters: list[Parameter] = []
    defaults = False
    kinds = sorted(draw(st.lists(st.sampled_from(KINDS), max_size=4)))
    for name, kind in zip(NAMES, kinds, strict=False):
        variable = kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
        if variable and any(one.kind is kind for one in parameters):
            continue
        optional = not variable and draw(st.booleans())
        if kind <= Parameter.POSITIONAL_OR_KEYWORD:
            optional = defaults = optional or defaults
        default = 0 if optional else Parameter.empty
        parameters.append(Parameter(name, kind, default=default))
    return Signature(parameters)


@given(signatures(), st.integers(0, 5), st.sets(st.sampled_from([*NAMES, "e"])))
def test_it_agrees_with_bind(layout: Signature, count: int, names: set[str]) -> None:
    args: tuple[Any, ...] = (1,) * count
    kwargs = dict.fromkeys(names, 2)
    shape = Shape("f", "f", layout)
    try:
        layout.bind(*args, **kwargs)
    except TypeError:
        with pytest.raises(ArgumentError):
            shape.check(args, kwargs)
    else:
        shape.check(args, kwargs)
        for place in (*range(count), *names):
            assert shape.describe(place).strip("*[]0123456789") in {*NAMES, "e"}
