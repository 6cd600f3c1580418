"""Posts that cannot be sent at all."""

import logging

import pytest

from jobq.core.hooks import Failed, Webhook
from jobq.runtime.posting import Postman
from tests.support.standing import Time

FAILED = Failed("id", "mail.send", "mail", 1, 1, "KeyError", "ada", "")


@pytest.mark.parametrize("url", ["http://ops..test/in", "http://[::1%25x]/in", "http://\x00/"])
def test_what_is_no_address_is_logged_and_ends_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "jobq.worker")
    postman = Postman(Time(), lambda: True)
    postman.post(Webhook(url, "a secret of many bytes"), "dead", FAILED)
    (record,) = caplog.records
    assert record.getMessage().startswith("failed webhook")
