"""Logs of a worker: one line for each event, as text or as JSON, whatever the message holds."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

Format = Literal["text", "json"]

#: Characters that become escapes: a message of a stranger must not write lines of its own, steer
#: the terminal, or reorder and hide what stands there. Control (C0, DEL, C1), separators of lines,
#: bidi overrides and isolates, zero width.
_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9},
    **{
        code: f"\\u{code:04x}"
        for code in (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
    },
}


def configure(log_format: Format, *, verbose: bool) -> None:
    """Send the logs of jobq to stderr.

    Args:
        log_format: ``text`` for people, ``json`` for machines: one object a line.
        verbose: debug messages too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger("jobq")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.propagate = False


class TextFormatter(logging.Formatter):
    """``07:12:03.123 warning failed job=…``; tracebacks follow, indented, unlike a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{at} {record.levelname.lower():7} {escape(record.getMessage())}"
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            line = "\n    ".join([line, *map(escape, lines)])
        return line


class JsonFormatter(logging.Formatter):
    """One object a line: at, level, logger, event (its first word or words), message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=True)


def escape(text: str) -> str:
    """Return text with its control characters, newlines too, as escapes."""
    return text.translate(_ESCAPES)
