"""flows/jobs/webhook_http.py: only checked addresses are connected to, whatever a name resolves to."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from flows.jobs.webhook_http import WebhookClient
from operators import address_check
from tests.harness.doubles.webhook_receiver import Reply, running_receiver

HEADERS = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
HOST = "hooks.example"


class ScriptedResolver:
    """Resolves every name to the next list of addresses; the last one stays.

    Attributes:
        lookups: the names that were resolved.
    """

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.lookups: list[str] = []

    async def __call__(self, host: str, _port: int) -> list[str]:
        """Resolve a name."""
        self.lookups.append(host)
        return list(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


@asynccontextmanager
async def webhook_client(**options: Any) -> AsyncIterator[WebhookClient]:
    client = WebhookClient(**options)
    try:
        yield client
    finally:
        await client.aclose()


def make_certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for a host.

    Returns:
        The server's context, and a client's context that trusts the certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(Encoding.PEM).decode())


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["fe80::1%eth0"]],
)
async def test_a_name_with_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    async with running_receiver() as receiver, webhook_client(resolve=ScriptedResolver(addresses)) as client:
        answer = await client.post(f"https://{HOST}:{receiver.port}/", HEADERS, "{}")
        assert answer.failure == f"its address {addresses[-1]} is not public (PARLEY_PRIVATE_ADDRESSES allows it)"
        assert (answer.code, receiver.received) == (None, [])


async def test_a_literal_private_address_is_not_connected_to() -> None:
    async with running_receiver() as receiver, webhook_client() as client:
        answer = await client.post(f"https://127.0.0.1:{receiver.port}/", HEADERS, "{}")
        assert answer.failure is not None
        assert "127.0.0.1 is not public" in answer.failure
        insecure = await client.post(receiver.url(), HEADERS, "{}")
        assert insecure.failure == "its URL begins with http:// (PARLEY_PRIVATE_ADDRESSES allows it)"
        assert receiver.received == []


async def test_rebinding_gains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first lookup gives an address that counts as public here, and later ones give a private one.
    monkeypatch.setattr(address_check, "is_public_address", lambda address: address == "127.0.0.1")
    server, trust = make_certificate(tmp_path, HOST)
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    async with (
        running_receiver(server) as receiver,
        webhook_client(resolve=resolver, ssl_context=trust) as client,
    ):
        url = f"https://{HOST}:{receiver.port}/hook"
        receiver.scripts["hook"].append(Reply(200, {"Connection": "close"}))
        assert (await client.post(url, HEADERS, "{}")).code == 200
        assert resolver.lookups == [HOST], "the checked address is connected to, without a second lookup"
        answer = await client.post(url, HEADERS, "{}")
        assert answer.failure == "its address 127.0.0.2 is not public (PARLEY_PRIVATE_ADDRESSES allows it)"
        assert len(receiver.received) == 1


async def test_a_redirect_to_a_private_address_is_not_followed() -> None:
    resolver = ScriptedResolver(["127.0.0.1"])
    async with running_receiver() as receiver, webhook_client(resolve=resolver, private_allowed=True) as client:
        for code in (301, 302, 303, 307, 308):
            receiver.scripts["hook"].append(Reply(code, {"Location": f"http://127.0.0.1:{receiver.port}/secret"}))
            answer = await client.post(f"http://{HOST}:{receiver.port}/hook", HEADERS, "{}")
            assert answer.code == code
        assert {each.path for each in receiver.received} == {"hook"}


async def test_the_host_of_the_url_is_verified_and_sent(tmp_path: Path) -> None:
    server, trust = make_certificate(tmp_path, HOST)
    resolver = ScriptedResolver(["127.0.0.1"])
    async with (
        running_receiver(server) as receiver,
        webhook_client(resolve=resolver, ssl_context=trust, private_allowed=True) as client,
    ):
        assert (await client.post(f"https://{HOST}:{receiver.port}/", HEADERS, '{"a":"é"}')).code == 200
        assert receiver.received[0].headers["host"] == f"{HOST}:{receiver.port}"
        assert receiver.received[0].body == {"a": "é"}
        other = await client.post(f"https://other.example:{receiver.port}/", HEADERS, "{}")
        assert other.failure == "its TLS certificate can't be verified, or TLS failed"
        assert len(receiver.received) == 1


async def test_the_next_address_is_tried_if_one_refuses() -> None:
    resolver = ScriptedResolver(["127.0.0.9", "127.0.0.1"])
    async with running_receiver() as receiver, webhook_client(resolve=resolver, private_allowed=True) as client:
        assert (await client.post(f"http://{HOST}:{receiver.port}/", HEADERS, "{}")).code == 200


@pytest.mark.parametrize(
    ("url", "failure"),
    [
        ("http://no-such-host.invalid/", "its host can't be resolved"),
        (f"http://{'a' * 64}.example/", "its host can't be resolved"),
        ("http://127.0.0.1:1/", "no answer: ConnectError"),
    ],
)
async def test_a_host_that_cant_be_reached_is_reported(url: str, failure: str) -> None:
    async with webhook_client(private_allowed=True) as client:
        assert (await client.post(url, HEADERS, "{}")).failure == failure


async def test_an_accepted_event_stays_accepted_if_the_body_never_ends() -> None:
    async with running_receiver() as receiver, webhook_client(private_allowed=True, timeout_s=2.0) as client:
        receiver.scripts["hook"].append(Reply(200, endless=True))
        assert (await client.post(receiver.url(), HEADERS, "{}")).code == 200
        receiver.scripts["hook"].append(Reply(200, body=b"x" * 10_000_000))
        assert (await client.post(receiver.url(), HEADERS, "{}")).code == 200
