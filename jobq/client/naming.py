"""What a job function is called, and what can be one."""

import sys
from inspect import isasyncgenfunction, isclass, isgeneratorfunction
from pathlib import Path
from typing import Final

from jobq.core.annotations import Function
from jobq.errors import OptionError

#: How Python calls the script it runs, and how multiprocessing calls it in its children.
_MAIN: Final = ("__main__", "__mp_main__")


def plain_function(function: object) -> Function:
    """Return the function that was decorated, out of its staticmethod.

    Args:
        function: what ``@job`` was put on.

    Raises:
        OptionError: it cannot be a job function.
    """
    inner: object = getattr(function, "__func__", None) if _is_static(function) else function
    if isclass(inner) or not callable(inner):
        raise OptionError(
            f"@job was given a {type(function).__name__}; it takes a function, and options by "
            'name: @job(queue="mail")'
        )
    if isgeneratorfunction(inner) or isasyncgenfunction(inner):
        raise OptionError(
            f"{_qualname(inner)} is a generator function: calling it runs nothing. Make it "
            "return a list, or enqueue a job for each item."
        )
    return inner


def job_name(function: Function) -> str:
    """Return ``module.qualname``, by which workers find the function.

    Raises:
        OptionError: there is no such name that a worker would find; it needs ``name=``.
    """
    qualname = _qualname(function)
    module = getattr(function, "__module__", None)
    if not qualname or not module:
        raise OptionError(
            f"@job: a {type(function).__name__} has no name of its own; give it one: "
            '@job(name="mail.send")'
        )
    if "<" in qualname:
        what = "a lambda" if qualname.endswith("<lambda>") else "inside a function"
        raise OptionError(
            f"@job: {qualname} is {what}, so a worker cannot tell it from others by its name. "
            'Give it one: @job(name="mail.send"), or move it to the top of its module.'
        )
    return f"{_module_name(module)}.{qualname}"


def _is_static(value: object) -> bool:
    return isinstance(value, staticmethod)


def _qualname(function: object) -> str:
    name: object = getattr(function, "__qualname__", "")
    return name if isinstance(name, str) else ""


def _module_name(module: str) -> str:
    """Return a module's name as ``import`` knows it: that of a script is not ``__main__``."""
    if module not in _MAIN:
        return module
    main = sys.modules.get(module)
    spec: object = getattr(getattr(main, "__spec__", None), "name", None)
    if isinstance(spec, str):  # python -m package.module
        return spec
    file: object = getattr(main, "__file__", None)
    return Path(file).stem if isinstance(file, str) else module
