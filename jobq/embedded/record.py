"""What the last keeper wrote down of its server, for those who look later."""

from pathlib import Path

from jobq.embedded.keeper import RECORD


def read_record(home: Path) -> dict[str, object]:
    """Return what the last keeper wrote down; empty where it is missing or not readable."""
    import json  # noqa: PLC0415  1.3 MB that a user of a running server does without

    try:
        record: object = json.loads((home / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(key): value for key, value in record.items()} if isinstance(record, dict) else {}


def recorded_text(home: Path, name: str) -> str | None:
    """Return a text the last keeper wrote down, such as ``socket``, where it is known."""
    value = read_record(home).get(name)
    return value if isinstance(value, str) and value else None
