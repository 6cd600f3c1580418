"""Telling that source files have changed; the one module that needs watchfiles."""

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from jobq.cli.output import clean, paint, say
from jobq.errors import ConfigError, JobqError

try:
    from watchfiles import PythonFilter, watch
except ImportError as error:
    raise ConfigError(
        "to load changed code, jobq dev needs watchfiles\nfix: pip install 'jobq[dev]', "
        "or jobq dev --no-reload"
    ) from error

#: Milliseconds that a burst of changes, such as a checkout, may go on before it is told.
_BURST: Final = 1000
#: Milliseconds without another change after which one is told.
_QUIET: Final = 50
#: Milliseconds between two looks whether the one who wants to know still lives.
_LOOK: Final = 200
#: Directories whose changes are of no interest, beside those of watchfiles.
_DULL: Final = (*PythonFilter.ignore_dirs, "venv", "site-packages", ".jobq", ".ruff_cache")
#: Files that are named when some have changed.
_NAMED: Final = 3


class Watcher:
    """A process that watches directories, and sends this one a SIGHUP when source files change.

    It ends with this process, however that ends.

    Args:
        roots: the directories, with all that is in them.

    Raises:
        JobqError: they cannot be watched.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._reader, writer = os.pipe()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if not self._pid:
            try:
                os.close(self._reader)
                _watch(roots, parent, writer)
            except (OSError, RuntimeError) as error:
                _complain(roots, error)
            finally:
                os._exit(1)
        os.close(writer)
        if not os.read(self._reader, 1):
            raise JobqError("cannot watch for changes\nfix: jobq dev --no-reload")

    def forget(self) -> None:
        """Forget the changes so far: they will be loaded by what is started now."""
        os.set_blocking(self._reader, False)
        with suppress(BlockingIOError):
            while os.read(self._reader, 65536):
                pass
        os.set_blocking(self._reader, True)

    def wait(self) -> bool:
        """Wait for a change since `forget`; False: the process has ended, none will be told."""
        return bool(os.read(self._reader, 65536))

    def close(self) -> None:
        """End the process."""
        os.close(self._reader)
        with suppress(ChildProcessError):  # the supervisor has seen its end
            if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)


def _watch(roots: Sequence[Path], parent: int, writer: int) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on the terminal is for the others
    os.set_blocking(writer, False)
    told = False
    for changes in watch(
        *roots,
        watch_filter=PythonFilter(ignore_paths=None),
        debounce=_BURST,
        step=_QUIET,
        rust_timeout=_LOOK,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    ):
        if os.getppid() != parent:
            return
        if not told:  # it watches from here on
            told = True
            os.write(writer, b"+")
        names = sorted({path for _, path in changes if not _is_dull(path, roots)})
        if names:
            _forget_compiled(names)
            _tell(names, roots)
            with suppress(BlockingIOError):
                os.write(writer, b"!")
            os.kill(parent, signal.SIGHUP)


def _is_dull(path: str, roots: Sequence[Path]) -> bool:
    return any(part in _DULL for part in Path(_short(path, roots)).parts[:-1])


def _forget_compiled(names: Iterable[str]) -> None:
    """Remove what Python has compiled: it would not see a second change in the same second."""
    for name in names:
        with suppress(OSError, ValueError, NotImplementedError):
            Path(cache_from_source(name)).unlink(missing_ok=True)


def _tell(names: Sequence[str], roots: Sequence[Path]) -> None:
    shown = ", ".join(clean(_short(name, roots)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    with suppress(OSError):
        say(paint(f"changed: {shown}{more}", "bold", err=True), err=True)


def _short(path: str, roots: Sequence[Path]) -> str:
    inside = [root for root in roots if Path(path).is_relative_to(root)]
    return (
        str(Path(path).relative_to(max(inside, key=lambda root: len(str(root)))))
        if inside
        else path
    )


def _complain(roots: Sequence[Path], error: Exception) -> None:
    places = ", ".join(map(str, roots))
    with suppress(OSError):
        say(f"cannot watch {clean(places)}: {clean(str(error))}", err=True)
