"""What is posted to webhooks: signed as the standard says, and checked in every respect."""

import base64
import hmac
import json

import pytest

from jobq.core.hooks import Failed, Webhook
from jobq.core.webhook import body_of, check_webhook, headers_of, is_genuine
from jobq.errors import OptionError
from jobq.webhook import verify

SECRET = "a secret of many bytes"
HOOK = Webhook("https://ops.test/in", SECRET)
NOW = 1_700_000_000.5
FAILED = Failed(
    "id", "mail.send", "mail", 2, 4, "KeyError", "'ada'", "Traceback", headers={"tenant": "a"}
)
BODY = body_of("failure", FAILED, NOW)


def test_the_body_says_what_failed() -> None:
    said = json.loads(BODY)
    assert (said["type"], said["timestamp"]) == ("job.failure", NOW)
    assert said["data"]["name"] == "mail.send"
    assert (said["data"]["attempt"], said["data"]["attempts"]) == (2, 4)
    assert said["data"]["headers"] == {"tenant": "a"}
    assert "exception" not in said["data"]


def test_the_signature_is_that_of_the_standard() -> None:
    headers = headers_of(HOOK, "msg_1", BODY, NOW)
    mac = hmac.digest(SECRET.encode(), b"msg_1.1700000000." + BODY, "sha256")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    # The example of https://github.com/standard-webhooks/standard-webhooks
    example = Webhook("https://a.test", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = headers_of(example, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, 1614265330)
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_was_signed_is_genuine() -> None:
    headers = headers_of(HOOK, "msg_1", BODY, NOW)
    assert is_genuine(headers, BODY, SECRET, NOW)
    assert is_genuine({name.upper(): value for name, value in headers.items()}, BODY, SECRET, NOW)
    assert is_genuine(headers, BODY, SECRET, NOW + 299)
    several = {**headers, "webhook-signature": f"v1,x v2,y {headers['webhook-signature']}"}
    assert is_genuine(several, BODY, SECRET, NOW)
    assert not verify(headers, BODY, SECRET)  # it is of 2023


@pytest.mark.parametrize(
    ("change", "body", "secret", "now"),
    [
        ({}, BODY + b" ", SECRET, NOW),
        ({}, BODY, SECRET + "!", NOW),
        ({}, BODY, SECRET, NOW + 302),
        ({}, BODY, SECRET, NOW - 302),
        ({"webhook-id": "msg_2"}, BODY, SECRET, NOW),
        ({"webhook-id": ""}, BODY, SECRET, NOW),
        ({"webhook-timestamp": "1700000001"}, BODY, SECRET, NOW),
        ({"webhook-timestamp": "٣"}, BODY, SECRET, NOW),
        ({"webhook-timestamp": "9" * 5000}, BODY, SECRET, NOW),
        ({"webhook-timestamp": "-1"}, BODY, SECRET, NOW),
        ({"webhook-signature": ""}, BODY, SECRET, NOW),
        ({"webhook-signature": "v1,\udcff é"}, BODY, SECRET, NOW),
        ({"webhook-signature": " ".join(["v1,x"] * 100_000)}, BODY, SECRET, NOW),
    ],
)
def test_anything_else_is_not(change: dict[str, str], body: bytes, secret: str, now: float) -> None:
    headers = {**headers_of(HOOK, "msg_1", BODY, NOW), **change}
    assert not is_genuine(headers, body, secret, now)
    assert not is_genuine({}, body, secret, now)


@pytest.mark.parametrize("secret", ["", "short", "whsec_no base64, so no secret at all"])
def test_without_a_secret_nothing_is_checked_at_all(secret: str) -> None:
    headers = headers_of(Webhook(HOOK.url, secret), "msg_1", BODY, NOW)
    with pytest.raises(OptionError, match="16 bytes"):
        is_genuine(headers, BODY, secret, NOW)


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (Webhook("ftp://ops.test", SECRET), "http or https"),
        (Webhook("file:///etc/passwd", SECRET), "http or https"),
        (Webhook("https://", SECRET), "http or https"),
        (Webhook("ops.test/in", SECRET), "http or https"),
        (Webhook("https://[", SECRET), "takes a URL"),
        (Webhook("https://ops.test:99999/", SECRET), "takes a URL"),
        (Webhook("https://ops..test/", SECRET), "takes a URL"),
        (Webhook(f"https://{'a' * 64}.test/", SECRET), "takes a URL"),
        (Webhook(3, SECRET), "takes a URL"),  # type: ignore[arg-type]
        (Webhook("https://ops.test/a b", SECRET), "characters"),
        (Webhook("https://ops.test/a\r\nX: y", SECRET), "characters"),
        (Webhook("https://ada:pw@ops.test/", SECRET), "no user or password"),
        (Webhook("https://ops.test", "short"), "16 bytes"),
        (Webhook("https://ops.test", "whsec_!!!"), "16 bytes"),
        (Webhook("https://ops.test", SECRET, ()), "events"),
        (Webhook("https://ops.test", SECRET, ("dead", "alive")), "events"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(hook: Webhook, problem: str) -> None:
    with pytest.raises(OptionError, match=problem) as raised:
        check_webhook(hook)
    assert SECRET not in str(raised.value)
    assert "pw" not in str(raised.value)


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(HOOK)
