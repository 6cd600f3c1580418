"""An entry that a worker holds, as it came."""

#: An entry that this worker holds, not yet read: its line (in ``retries`` its queue), itself, its
#: fields, its delivery count (0 in a line), its history in ``retries``, its place on the board. A
#: bare tuple: one is made for each job.
Item = tuple[str, bytes, list[bytes] | None, int, bytes | None, int]
