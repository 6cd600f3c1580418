"""Order: none is promised; this is what there is in practice, also when the line is cut."""

import pytest

from tests.faults.conftest import Fault
from tests.faults.field import Field
from tests.support.proxy import Proxy
from tests.support.wait import wait_until


@pytest.mark.fault("G9")
def test_first_attempts_keep_their_order_over_cuts(
    field: Field, proxy: Proxy, fault: Fault
) -> None:
    """Jobs that wait start in the order of their enqueueing, whatever happens to the line."""
    field.url = proxy.url
    ids = field.put("jobs.work", [(n,) for n in range(300)])
    field.worker()
    for _ in range(3):
        seen = len(field.starts())
        wait_until(lambda: len(field.starts()) > seen or not field.left(), "some have started")  # noqa: B023
        proxy.cut()
    field.wait_over()
    account = field.account(ids)
    order = [rest[0] for rest in field.traced("start")]
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    fault.note(f"{sum(a != b for a, b in zip(order, ids, strict=True))} out of order")
