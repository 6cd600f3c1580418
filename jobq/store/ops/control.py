"""Ops of the control stream: commands to supervisors, which each of them reads."""

from dataclasses import dataclass
from typing import Any, Final

from jobq.store import keys
from jobq.store.wire import Op, Script, call, text

#: What a command can say: interrupt a job; of a supervisor: finish what runs and take nothing new;
#: end, as at the first signal; end now, as at the second.
CANCEL: Final = "cancel"
DRAIN: Final = "drain"
STOP: Final = "stop"
STOP_NOW: Final = "stop-now"

#: Commands that are kept, more or less: supervisors look every second.
_MOST: Final = 1000

_COMMAND = Script("command")


@dataclass(frozen=True, slots=True)
class Command:
    """What supervisors are told.

    Attributes:
        action: one of the constants of this module; what a reader does not know, it skips.
        target: the job's id; of all but ``cancel`` the name of the supervisor.
        queue: that of the job.
        where: where the job runs as the index has it, a letter and its entry, if that is known.
    """

    action: str
    target: str
    queue: str = ""
    where: str = ""


def send(command: Command) -> Op[str]:
    """Send a command; the answer is its entry."""
    said = (command.action, command.target, command.queue, command.where)
    return call(_COMMAND, (keys.CONTROL,), (_MOST, *said), text)


def interrupt(queue: str, job_id: str, mark: str) -> Op[str]:
    """Tell whoever runs a job to interrupt it.

    Args:
        mark: where it runs, see `jobq.store.ops.manage.mark`; empty: not known.
    """
    return send(Command(CANCEL, job_id, queue, mark))


def last() -> Op[str]:
    """Ask for the entry of the newest command: a supervisor that starts reads after it."""
    return Op(("XREVRANGE", keys.CONTROL, "+", "-", "COUNT", 1), _entry)


def read(after: str, count: int = 100) -> Op[list[tuple[str, Command]]]:
    """Read the commands after an entry, the oldest first.

    What a stranger has written is skipped. Only where it ends a full page it comes as a
    command with no action, so that the reader gets past it.
    """

    def parse(reply: Any) -> list[tuple[str, Command]]:
        found = []
        for at, (entry, fields) in enumerate(reply or (), 1):
            command = _command(fields)
            if command is None and at == count:
                command = Command("", "")
            if command is not None:
                found.append((text(entry), command))
        return found

    return Op(("XRANGE", keys.CONTROL, f"({after}", "+", "COUNT", count), parse)


def _entry(reply: Any) -> str:
    return text(reply[0][0]) if reply else "0-0"


def _command(fields: list[bytes]) -> Command | None:
    try:
        named = {fields[i].decode(): fields[i + 1].decode() for i in range(0, len(fields), 2)}
        action, target = named["action"], named["target"]
    except (UnicodeDecodeError, KeyError):
        return None
    return Command(action, target, named.get("queue", ""), named.get("where", ""))
