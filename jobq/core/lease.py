"""How long a job may go without a sign of life from its worker's supervisor."""

from typing import Final

from jobq.core.duration import Duration, seconds

#: Seconds.
DEFAULT_LEASE: Final = 30.0

#: Leases are renewed this many times before they run out, so that all but one may fail, and scanned
#: this often in a lease.
RENEWALS: Final = 4
SCANS: Final = 3

#: Below this, a busy machine alone makes leases run out.
MIN_LEASE: Final = 1.0


def check_lease(value: Duration, what: str) -> float:
    """Return a lease in seconds.

    Args:
        what: how messages call it.

    Raises:
        OptionError: it is no duration, or below a second.
    """
    return seconds(value, what=what, minimum=MIN_LEASE)
