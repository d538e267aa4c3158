"""operators/webhooks/webhook_url.py: URLs are normalized, or refused with the fix."""

from __future__ import annotations

import pytest

from operators.webhooks.webhook_url import host_and_port, normalize_webhook_url


@pytest.mark.parametrize(
    ("url", "normalized", "place"),
    [
        ("https://Example.com", "https://example.com/", ("example.com", 443)),
        ("https://example.com:8443/a?b=c", "https://example.com:8443/a?b=c", ("example.com", 8443)),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4", ("xn--bcher-kva.example", 443)),
        ("https://0x7f.1/", "https://127.0.0.1/", ("127.0.0.1", 443)),
        ("https://2130706433/", "https://127.0.0.1/", ("127.0.0.1", 443)),
        ("https://[::ffff:7f00:1]/", "https://[::ffff:7f00:1]/", ("::ffff:7f00:1", 443)),
    ],
)
def test_a_url_is_normalized(url: str, normalized: str, place: tuple[str, int]) -> None:
    assert normalize_webhook_url(url, private_allowed=False) == normalized
    assert host_and_port(normalized) == place


def test_http_is_allowed_with_private_addresses_only() -> None:
    assert normalize_webhook_url("http://localhost:9000/", private_allowed=True) == "http://localhost:9000/"
    assert host_and_port("http://localhost/") == ("localhost", 80)
    with pytest.raises(ValueError, match="must begin with https://"):
        normalize_webhook_url("http://example.com/", private_allowed=False)


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("example.com", "must be a URL such as"),
        ("ftp://example.com/", "must be a URL such as"),
        ("https://", "must be a URL such as"),
        ("https://user@example.com/", "must not contain a user or a password"),
        ("https://:secret@example.com/", "must not contain a user or a password"),
        ("https://example.com/#part", "must not contain a fragment"),
        ("https://example.com:0/", "must not have the port 0"),
        ("https://example.com/" + "a" * 2_000, "must have at most 2000 characters"),
    ],
)
def test_a_bad_url_is_refused_with_the_fix(url: str, fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        normalize_webhook_url(url, private_allowed=True)
