"""The HTTP client of webhooks. It connects to public addresses only, unless private ones are allowed.

The address is checked after the name was resolved, where the socket is opened. The socket connects to that very address. So a
name that resolves to another address the next time gains nothing. Redirects are not followed, and no proxy is used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import httpcore
import httpx

from operators.address_check import PRIVATE_SETTING, AddressRule
from storage.outbound_connections import CheckedBackend, RefusedAddressError, Resolve

ATTEMPT_TIMEOUT_S = 15.0
"""Seconds for one attempt: resolve, connect, send, and read the status."""
MAX_ANSWER_BYTES = 16 * 1024
"""Bytes of an answer's body that are read, so that the connection can be used again. A longer answer closes it."""
KEEPALIVE_S = 5.0
"""Seconds for which an unused connection stays open."""
MAX_LOOKUPS = 32
"""Concurrent lookups of names. They block threads, and have threads of their own."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt.

    Attributes:
        code: the HTTP status; None without an answer.
        retry_after: the header `Retry-After`.
        failure: why there was no answer.
    """

    code: int | None = None
    retry_after: str | None = None
    failure: str | None = None


class WebhookClient:
    """Sends requests to endpoints. Use it in one event loop, and close it.

    Args:
        private_allowed: whether private addresses are allowed.
        resolve: resolves names; by default the system's resolver.
        ssl_context: verifies certificates; by default with the public authorities.
        timeout_s: seconds for one attempt.
    """

    def __init__(
        self,
        *,
        private_allowed: bool = False,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout_s: float = ATTEMPT_TIMEOUT_S,
    ) -> None:
        self._private_allowed = private_allowed
        self._timeout_s = timeout_s
        self._lookups = ThreadPoolExecutor(MAX_LOOKUPS, "webhook-lookup")
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),
            keepalive_expiry=KEEPALIVE_S,
            max_connections=None,
            network_backend=CheckedBackend(AddressRule(private_allowed), resolve or self._resolve),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> AttemptResult:
        """Send a request. Every failure is a result without a status.

        Args:
            url: a normalized URL.
            headers: the signature headers.
            body: the body, in JSON.
        """
        if not self._private_allowed and not url.startswith("https://"):
            return AttemptResult(failure=f"its URL begins with http:// ({PRIVATE_SETTING} allows it)")
        all_headers = {"content-type": "application/json", "user-agent": "Parley-Webhooks", **headers}
        try:
            return await self._post(url, all_headers, body.encode())
        except TimeoutError:
            return AttemptResult(failure=f"no answer within {self._timeout_s:g} s")
        except RefusedAddressError as error:
            return AttemptResult(failure=str(error))
        except (socket.gaierror, UnicodeError):
            return AttemptResult(failure="its host can't be resolved")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            if isinstance(error.__context__, ssl.SSLError):
                return AttemptResult(failure="its TLS certificate can't be verified, or TLS failed")
            # The message of an error may quote what the receiver sent.
            return AttemptResult(failure=f"no answer: {type(error).__name__}")

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        async with AsyncExitStack() as stack:
            async with asyncio.timeout_at(deadline):
                response = await stack.enter_async_context(
                    self._pool.stream("POST", url, headers=list(headers.items()), content=body)
                )
            retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
            # The status is what counts. A body that never ends must not turn an accepted event into a repeated one.
            with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
                async with asyncio.timeout_at(deadline):
                    await _read_start(response)
            return AttemptResult(response.status, None if retry_after is None else retry_after.decode("latin-1"))

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]


async def _read_start(response: httpcore.Response) -> None:
    """Read an answer's body, up to `MAX_ANSWER_BYTES`."""
    length = 0
    async for part in response.aiter_stream():
        length += len(part)
        if length > MAX_ANSWER_BYTES:
            return
