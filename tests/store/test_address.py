"""URLs of Redis: their forms, their faults, and their passwords, which nobody sees."""

import pytest

from jobq.errors import ConfigError
from jobq.store.address import Address, Tls, parse_url
from jobq.store.connect import greeting

FORMS = [
    ("redis://", Address(host="localhost")),
    ("redis://h", Address(host="h")),
    ("REDIS://H:7/3", Address(host="h", port=7, db=3)),
    ("redis://h/", Address(host="h")),
    ("redis://h?db=4", Address(host="h", db=4)),
    ("redis://h/3?db=4", Address(host="h", db=4)),
    ("redis://:pw@h", Address(host="h", password="pw")),
    ("redis://ada:pw@h:1/2", Address(host="h", port=1, db=2, username="ada", password="pw")),
    ("redis://ada@h", Address(host="h", username="ada")),
    ("redis://:p%40%2F%3a%25%20@h", Address(host="h", password="p@/:% ")),
    ("redis://a%3Ab:c@h", Address(host="h", username="a:b", password="c")),
    ("redis://:a@b@h", Address(host="h", password="a@b")),
    ("redis://:a:b@h", Address(host="h", password="a:b")),
    ("redis://:%C3%A9@h", Address(host="h", password="é")),
    ("redis://[::1]", Address(host="::1")),
    ("redis://:pw@[fe80::1]:7/1", Address(host="fe80::1", port=7, db=1, password="pw")),
    ("redis://h:0", Address(host="h", port=0)),
    ("unix:///tmp/s", Address(path="/tmp/s")),
    ("unix:/tmp/s", Address(path="/tmp/s")),
    ("unix:///tmp/s?db=2", Address(path="/tmp/s", db=2)),
    ("unix://ada:pw@/tmp/s", Address(path="/tmp/s", username="ada", password="pw")),
    ("unix:///tmp/a%20b@c", Address(path="/tmp/a b@c")),
    ("rediss://h", Address(host="h", tls=Tls())),
    (
        "rediss://h?ssl_ca_certs=/ca@x&ssl_certfile=/c&ssl_keyfile=/k",
        Address(host="h", tls=Tls(ca_file="/ca@x", cert_file="/c", key_file="/k")),
    ),
    ("rediss://h?ssl_cert_reqs=none", Address(host="h", tls=Tls(verify=False))),
    ("rediss://h?ssl_cert_reqs=required", Address(host="h", tls=Tls())),
    ("rediss://h?ssl_check_hostname=False", Address(host="h", tls=Tls(check_hostname=False))),
]


@pytest.mark.parametrize(("url", "address"), FORMS, ids=[url for url, _ in FORMS])
def test_forms(url: str, address: Address) -> None:
    if "ca@x" in url:
        url = url.replace("//h", "//ada:pw@h")
        address = Address(host="h", username="ada", password="pw", tls=address.tls)
    assert parse_url(url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "scheme 'none'"),
        ("localhost:6379", "scheme 'localhost'"),
        ("http://h", "scheme 'http'"),
        ("redis://h:port", "port"),
        ("redis://h:65536", "port"),
        ("redis://h:-1", "port"),
        ("redis://h/one", "the database 'one' is not a number"),
        ("redis://h/-1", "the database '-1' is not a number"),
        ("redis://h/1/2", "the database '1/2' is not a number"),
        ("redis://h?db=x", "the database 'x' is not a number"),
        ("redis://h?timeout=3", "unknown options timeout"),
        ("redis://h?timeout", "unknown options timeout"),
        ("redis://h?ssl_ca_certs=/x", "unknown options ssl_ca_certs"),
        ("unix:///s?timeout=3", "unknown options timeout"),
        ("unix://", "path of a socket"),
        ("unix://tmp/redis.sock", "third /"),
        ("unix:///tmp/%00", "path of a socket"),
        ("redis://[::1", "cannot be read"),
        ("redis://[nonsense]", "cannot be read"),
    ],
)
def test_faults(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert said in str(caught.value)
    assert "redis://[user:password@]host" in str(caught.value), "it shows the forms"


SECRETS = [
    "redis://:hunter2/s3cret@h",
    "redis://:hunter2?s3cret@h",
    "redis://:hunter2#s3cret@h/0",
    "redis://:1/s3cret@h",
    "redis://:1?s3cret=2@h",
    "redis://:1#s3cret@h",
    "redis://:hunter2s3cret℀@h",
    "redis://:hunter2[s3cret@h",
    "redis://ada:s3cret@h:port",
    "redis://ada:s3cret@h/one",
    "redis://ada:s3cret@h?what=x",
    "unix://:hunter2/s3cret@/tmp/s",
    "unix://:s3cret@host/tmp/s",
    "http://ada:s3cret@h",
]


@pytest.mark.parametrize("url", SECRETS)
def test_no_fault_tells_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    seen = caught.value
    assert seen.__suppress_context__ or seen.__context__ is None
    for secret in ("hunter2", "s3cret"):
        assert secret not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://:pw@h:1/2", "redis://:***@h:1/2"),
        ("redis://ada:pw@[::1]", "redis://ada:***@[::1]:6379/0"),
        ("redis://ada@h", "redis://ada@h:6379/0"),
        ("rediss://:pw@h?ssl_keyfile=/key", "rediss://:***@h:6379/0"),
        ("unix://ada:pw@/tmp/s?db=3", "unix://ada:***@/tmp/s?db=3"),
        ("unix:///tmp/s", "unix:///tmp/s"),
    ],
)
def test_what_people_see(url: str, safe: str) -> None:
    address = parse_url(url)
    assert address.safe == safe
    assert "pw" not in f"{address!r} {address}"


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        ("redis://h", []),
        ("redis://:@h", []),
        ("redis://:pw@h", [("AUTH", "pw")]),
        ("redis://ada:pw@h", [("AUTH", "ada", "pw")]),
        ("redis://ada@h", [("AUTH", "ada", "")]),
        ("redis://ada:@h", [("AUTH", "ada", "")]),
    ],
)
def test_who_is_said_to_be_there(url: str, auth: list[tuple[str, ...]]) -> None:
    words = greeting(parse_url(url), resp3=False, name="jobq")
    assert [one for one in words if one[0] == "AUTH"] == auth
