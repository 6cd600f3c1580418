"""Where the embedded server lives: its directory, its socket, its settings."""

import math
import os
import stat
from pathlib import Path

from jobq.embedded.keeper import KEEPER_LOCK, LEASE_LOCK, RECORD, SOCKET
from jobq.embedded.record import recorded_text
from jobq.errors import ConfigError, ServerError

#: Bytes of a path that still fits a unix socket's address: 108 on Linux, 104 on macOS, both with
#: a final zero.
SOCKET_PATH_LIMIT = 100
#: Seconds the server stays after its last user is gone, unless JOBQ_LINGER says otherwise.
LINGER = 10.0

_OURS = {LEASE_LOCK, KEEPER_LOCK, RECORD}


def find_home() -> Path:
    """Return the directory of this project's server, without making it.

    It is ``$JOBQ_HOME``, else ``.jobq`` beside the nearest ``pyproject.toml`` upwards from the
    current directory, else ``$XDG_STATE_HOME/jobq`` (``~/.local/state/jobq``).
    """
    named = os.environ.get("JOBQ_HOME")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "pyproject.toml").is_file():
            return (directory / ".jobq").resolve()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return (Path(state).expanduser() / "jobq").resolve()


def prepare_home(home: Path) -> None:
    """Make the directory where it is missing, and see that it is ours alone (mode 0700).

    Raises:
        ServerError: it cannot be made, belongs to somebody else, or holds somebody else's files.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = home.stat()
        if found.st_uid == os.geteuid():
            _close_to_others(home, stat.S_IMODE(found.st_mode))
    except OSError as error:
        raise ServerError(
            f"cannot make {home} for the embedded server: {error.strerror}. Set JOBQ_HOME to a "
            "directory of your own, or JOBQ_REDIS_URL to a server."
        ) from error
    if found.st_uid != os.geteuid():
        raise ServerError(
            f"{home} belongs to user {found.st_uid}, and this process is user {os.geteuid()}. The "
            "embedded server is one user's: set JOBQ_HOME to a directory of your own, or "
            "JOBQ_REDIS_URL to a server that both users reach."
        )


def _close_to_others(home: Path, mode: int) -> None:
    names = {entry.name for entry in home.iterdir()}
    if not names:
        (home / ".gitignore").write_text("*\n", encoding="ascii")
    if not mode & 0o077:
        return
    if names - {".gitignore"} and not names & _OURS:
        raise ServerError(
            f"{home} holds other files and is open to other users. Set JOBQ_HOME to a "
            f"directory for jobq alone, or make it yours: chmod 700 {home}"
        )
    home.chmod(0o700)


def socket_path(home: Path) -> Path:
    """Return the socket of the server of this home, running or not.

    Where the home's path is too long for a socket, it is the one the last keeper wrote down: two
    users may have different ideas of the directory for temporary files.
    """
    path = home / SOCKET
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    recorded = recorded_text(home, "socket")
    return Path(recorded) if recorded else _short_path(home)


def new_socket_path(home: Path) -> Path:
    """Return the socket for a server that is about to start, and make its directory.

    Raises:
        ServerError: the directory for short paths is not ours alone.
    """
    path = home / SOCKET
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    path = _short_path(home)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    found = path.parent.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServerError(
            f"{home} is too long for a socket, and {path.parent}, which would hold it instead, "
            "is not a directory of yours alone (mode 0700). Set JOBQ_HOME to a shorter path."
        )
    return path


def _short_path(home: Path) -> Path:
    import hashlib  # noqa: PLC0415  these two cost 4 MB, and few homes have a long path
    import tempfile  # noqa: PLC0415

    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16] + ".sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime, "jobq", name)
    return Path(tempfile.gettempdir(), f"jobq-{os.geteuid()}", name)


def linger() -> float:
    """Return the seconds a server stays after its last user (``JOBQ_LINGER``, default 10).

    Raises:
        ConfigError: the setting is not a number of seconds.
    """
    text = os.environ.get("JOBQ_LINGER") or str(LINGER)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(f"JOBQ_LINGER is {text!r}; it takes seconds, such as 10 or 0.5")
    return value


def fsync() -> str:
    """Return when writes reach the disk (``JOBQ_EMBEDDED_FSYNC``, default everysec).

    Raises:
        ConfigError: the setting is neither ``everysec`` nor ``always``.
    """
    text = os.environ.get("JOBQ_EMBEDDED_FSYNC") or "everysec"
    if text not in ("everysec", "always"):
        raise ConfigError(
            f"JOBQ_EMBEDDED_FSYNC is {text!r}; it takes everysec (a power failure may cost the "
            "last second) or always (nothing, at a quarter of the speed)"
        )
    return text
