"""The check of an endpoint's URL. Where the host leads is checked at each connection, not here."""

from __future__ import annotations

from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from operators.address_check import PRIVATE_SETTING

MAX_URL_CHARS = 2_000
"""Maximum length of a URL."""

_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


def normalize_webhook_url(url: str, *, private_allowed: bool) -> str:
    """Check an endpoint's URL, and normalize it as browsers do: a host like `0x7f.1` becomes `127.0.0.1`.

    Args:
        url: the URL.
        private_allowed: whether private addresses and `http://` are allowed.

    Raises:
        ValueError: the URL can't be used. The message is the fix.
    """
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"must have at most {MAX_URL_CHARS} characters")
    try:
        parsed = _URL.validate_python(url)
    except ValidationError:
        raise ValueError("must be a URL such as https://example.com/hook") from None
    if parsed.scheme != "https" and not private_allowed:
        raise ValueError(f"must begin with https:// ({PRIVATE_SETTING} allows http://)")
    if parsed.username is not None or parsed.password is not None:
        raise ValueError("must not contain a user or a password: receivers check the signature instead")
    if parsed.fragment is not None:
        raise ValueError("must not contain a fragment (`#…`), which is never sent")
    if parsed.port == 0:
        raise ValueError("must not have the port 0")
    return str(parsed)


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and the port of a normalized URL; the host of an IPv6 address has no brackets."""
    parsed = _URL.validate_python(url)
    return (parsed.host or "").strip("[]"), parsed.port or 443
