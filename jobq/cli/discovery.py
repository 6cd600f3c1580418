"""Finding the app: where its name is looked for, and what is in the module that it names.

In this order: ``--app``, ``JOBQ_APP``, ``app`` under ``[tool.jobq]`` in the nearest
``pyproject.toml`` upwards, a ``jobs.py`` in the current directory.
"""

import os
import sys
import tomllib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from jobq.client.app import JobQ
from jobq.client.default import default_app
from jobq.errors import AppNotFound, ConfigError

VARIABLE: Final = "JOBQ_APP"
#: The module that needs no setting.
CONVENTION: Final = "jobs"
#: Which app is meant where a module has several.
FIRST: Final = ("app", "jobq", "queue")

_FORMS: Final = "module, module:attribute or module:factory()"


class AppBroken(AppNotFound):
    """The user's module raised while it was imported; the message has that traceback alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the app is said to be.

    Attributes:
        spec: ``module``, ``module:attribute`` or ``module:factory()``.
        source: who says so: ``--app``, ``JOBQ_APP``, ``pyproject.toml`` or ``jobs.py``.
        root: the directory that its module is in, or near.
    """

    spec: str
    source: str
    root: Path


@dataclass(frozen=True, slots=True)
class Found:
    """The app, and where it was found."""

    app: JobQ
    place: Place

    @property
    def name(self) -> str:
        """For banners: ``shop.jobs:app (from pyproject.toml)``."""
        return _name(self.place)


def find_app(option: str | None) -> JobQ:
    """Find the app and import its module. See `find`."""
    return find(option).app


def describe(option: str | None) -> str:
    """Tell for banners which app `find_app` takes and who named it; imports nothing."""
    return _name(locate(option))


def find(option: str | None) -> Found:
    """Find the app and import its module; the directory that it is in goes first on the path.

    That is the current one, or that of the ``pyproject.toml`` that names the app; none where Python
    was told to leave such directories off (``PYTHONSAFEPATH``, ``python -P``).

    Args:
        option: what ``--app`` says, if it was given.

    Raises:
        AppNotFound: there is none; the message has what was tried, in order.
        AppBroken: the module raised while it was imported.
    """
    place = locate(option)
    if str(place.root) not in sys.path and not sys.flags.safe_path:
        sys.path.insert(0, str(place.root))
    return Found(_load(place), place)


def locate(option: str | None) -> Place:
    """Find out where the app is said to be, without importing anything.

    Raises:
        AppNotFound: nobody says so; the message has what was tried, in order.
        ConfigError: a ``pyproject.toml`` cannot be read.
    """
    here = Path.cwd()
    tried = []
    if option:
        return Place(option, "--app", here)
    tried.append("--app: not given")
    if named := os.environ.get(VARIABLE):
        return Place(named, VARIABLE, here)
    tried.append(f"{VARIABLE}: not set")
    project = _nearest_project(here)
    if project is None:
        tried.append(f"pyproject.toml: none in {here} or above")
    else:
        spec = _spec_of(project)
        if spec:
            return Place(spec, "pyproject.toml", project.parent)
        tried.append(f"{project}: has no app under [tool.jobq]")
    if (here / f"{CONVENTION}.py").is_file():
        return Place(CONVENTION, f"{CONVENTION}.py", here)
    tried.append(f"{CONVENTION}.py: not in {here}")
    steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(tried, 1))
    raise AppNotFound(
        f"no app found. Tried, in this order:\n{steps}\n"
        f"fix: name it with --app ({_FORMS}), or write a {CONVENTION}.py here"
    )


def _name(place: Place) -> str:
    return f"{place.spec} (from {place.source})"


def _nearest_project(here: Path) -> Path | None:
    candidates = (directory / "pyproject.toml" for directory in (here, *here.parents))
    return next((path for path in candidates if path.is_file()), None)


def _spec_of(project: Path) -> str | None:
    try:
        tables = tomllib.loads(project.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {project}: {error}") from None
    found: object = tables
    for name in ("tool", "jobq", "app"):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    if not isinstance(found, str) or not found:
        raise ConfigError(f"{project}: app under [tool.jobq] is {found!r}; it takes {_FORMS}")
    return found


def _load(place: Place) -> JobQ:
    module_name, colon, attribute = place.spec.partition(":")
    parts = module_name.split(".")
    if not all(part.isidentifier() for part in parts) or (colon and not attribute):
        raise AppNotFound(_not_a_spec(place))
    before = set(default_app.registry.names())
    module = _import(module_name, place)
    if not colon:
        return _only_app(module, place, before)
    return _attribute_app(module, attribute, place)


def _not_a_spec(place: Place) -> str:
    guess = ""
    path, _, attribute = place.spec.partition(":")
    if path.endswith(".py") or "/" in path:
        module = path.removesuffix(".py").strip("./").replace("/", ".")
        guess = f"\nfix: {module}" + (f":{attribute}" if attribute else "")
    return f"{place.spec!r} (from {place.source}) is not the name of an app; use {_FORMS}.{guess}"


def _import(name: str, place: Place) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise AppNotFound(_no_module(missing, place)) from None
        raise _broken(error, name, place) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the user's module raises
        raise _broken(error, name, place) from None


def _no_module(name: str, place: Place) -> str:
    parent, _, last = name.rpartition(".")
    if hasattr(sys.modules.get(parent), last):
        return f"{name!r} (from {place.source}) is no module. Did you mean {parent}:{last}?"
    near = get_close_matches(last, _modules_beside(parent, place), n=1)
    guess = f" Did you mean {f'{parent}.' if parent else ''}{near[0]}?" if near else ""
    return (
        f"no module named {name!r}, which {place.source} names.{guess} "
        f"It was looked for in {place.root} and where Python finds installed packages."
    )


def _modules_beside(parent: str, place: Place) -> list[str]:
    folders = [str(place.root)]
    if parent:
        spec = find_spec(parent)
        folders = list((spec and spec.submodule_search_locations) or ())
    there = (path for folder in folders for path in sorted(Path(folder).glob("*")))
    return [path.stem for path in there if path.suffix == ".py" or (path / "__init__.py").is_file()]


def _broken(error: BaseException, name: str, place: Place) -> AppBroken:
    """Return the error that shows the user's traceback, without frames of ours and importlib's."""
    at = error.__traceback__
    while at is not None and _is_ours(at.tb_frame.f_code.co_filename):
        at = at.tb_next
    shown = "".join(traceback.format_exception(type(error), error.with_traceback(at), at))
    return AppBroken(f"{name} (from {place.source}) cannot be imported:\n\n{shown.rstrip()}")


def _is_ours(filename: str) -> bool:
    return filename == __file__ or "importlib" in filename


def _only_app(module: ModuleType, place: Place, before: set[str]) -> JobQ:
    apps = {name: value for name, value in vars(module).items() if isinstance(value, JobQ)}
    for name in FIRST:
        if name in apps:
            return apps[name]
    different = {id(app): app for app in apps.values()}
    if len(different) == 1:
        return next(iter(different.values()))
    if different:
        raise AppNotFound(
            f"{module.__name__} (from {place.source}) has several apps: {', '.join(sorted(apps))}. "
            f"fix: name one, such as {module.__name__}:{min(apps)}"
        )
    if set(default_app.registry.names()) - before or _has_functions_of(default_app, module):
        return default_app
    raise AppNotFound(
        f"{module.__name__} (from {place.source}) has no app and no job function: "
        "make one with app = JobQ(), or put @job on a function"
    )


def _has_functions_of(app: JobQ, module: ModuleType) -> bool:
    """Tell whether a module that was imported before has job functions of this app."""
    names = (app.registry.get(name) for name in app.registry.names())
    return any(one is not None and one.function.__module__ == module.__name__ for one in names)


def _attribute_app(module: ModuleType, attribute: str, place: Place) -> JobQ:
    name = attribute.removesuffix("()")
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise AppNotFound(_no_attribute(module, name, part, vars(found), place))
        found = getattr(found, part)
    if attribute.endswith("()"):
        found = _call(found, module, name, place)
    if isinstance(found, JobQ):
        return found
    hint = ""
    if callable(found) and not isinstance(found, type):
        hint = f" If it makes one: {module.__name__}:{name}()."
    raise AppNotFound(
        f"{place.spec} (from {place.source}) is a {type(found).__name__}, not a JobQ.{hint}"
    )


def _no_attribute(
    module: ModuleType, name: str, part: str, there: Mapping[str, object], place: Place
) -> str:
    apps = [key for key, value in vars(module).items() if isinstance(value, JobQ)]
    near = get_close_matches(part, [key for key in there if not key.startswith("__")], n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    if not guess and apps:
        guess = f" Its apps: {', '.join(sorted(apps))}."
    return f"{module.__name__} has no {name!r}, which {place.source} names.{guess}"


def _call(factory: object, module: ModuleType, name: str, place: Place) -> object:
    if not callable(factory):
        raise AppNotFound(f"{module.__name__}:{name} (from {place.source}) cannot be called")
    make: Callable[[], object] = factory
    try:
        return make()
    except Exception as error:  # noqa: BLE001  whatever the user's factory raises
        raise _broken(error, f"{module.__name__}:{name}()", place) from None
