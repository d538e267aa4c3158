"""Fetches files that are too large to be fetched twice: goes on where it was cut off, and keeps only what is what it should be."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import stamina

from operators.errors import ConflictError, NotFoundError, SetupError, UnavailableError

HTTP_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
MAX_ATTEMPTS = 4
"""Tries of a file in a row; each goes on where the last one was cut off."""
RESERVED_DISK_BYTES = 2**28
"""Bytes of a disk that are left free."""
_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file elsewhere.

    Attributes:
        url: where.
        name: what it is called here: a name, no path.
        size: bytes.
        sha256: of its bytes, in hexadecimal; None where nobody tells.
        headers: what is sent with the request; hidden, for they may hold a token.
    """

    url: str
    name: str
    size_bytes: int
    sha256: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in (".", ".."):
            raise SetupError(f"{_host(self.url)} names a file that would lie elsewhere: nothing of it is taken")


class IncompleteDownloadError(Exception):
    """A file came, and isn't what it should be, or only a part of it: to be tried again."""


def download_files(files: Sequence[RemoteFile], folder: Path, advance: Callable[[int], None]) -> None:
    """Fetch files into a folder. What is there whole already is left; a file has its name only once it is whole and right.

    Args:
        files: what to fetch.
        folder: where to; made where it isn't there.
        advance: told of bytes as they come, and of those that were there.

    Raises:
        SetupError: the disk has no room, or a file is not what its record says.
        UnavailableError: the server can't be reached.
        Refused: it asks for an account.
        NotFoundError: there is no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if _file_size(folder / file.name) != file.size_bytes]
    partial_bytes = sum(_file_size(folder / f"{file.name}.part") for file in missing)
    needed_bytes = sum(file.size_bytes for file in missing) - partial_bytes
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes + RESERVED_DISK_BYTES > free_bytes:
        raise SetupError(
            f"{folder} has {free_bytes / 1e9:.1f} GB free, and {needed_bytes / 1e9:.1f} GB are to come: make room"
        )
    advance(sum(file.size_bytes for file in files) - needed_bytes)
    with httpx.Client(timeout=HTTP_TIMEOUT, follow_redirects=True) as client:
        for file in missing:
            _download(client, file, folder, advance)


def http_get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask for something small.

    Raises:
        UnavailableError: the server can't be reached.
        Refused: it asks for an account.
        NotFoundError: there is no such thing.
    """
    try:
        for attempt in stamina.retry_context(
            on=(httpx.TransportError, IncompleteDownloadError), attempts=MAX_ATTEMPTS, timeout=None
        ):
            with attempt:
                response = httpx.get(url, headers=headers, timeout=HTTP_TIMEOUT, follow_redirects=True)
                _raise_for_status(response)
                return response
    except (httpx.TransportError, IncompleteDownloadError) as error:
        raise _unreachable_error(url, error) from error
    raise AssertionError("an attempt returns or raises")


def _download(client: httpx.Client, file: RemoteFile, folder: Path, advance: Callable[[int], None]) -> None:
    part = folder / f"{file.name}.part"
    try:
        for attempt in stamina.retry_context(
            on=(httpx.TransportError, IncompleteDownloadError), attempts=MAX_ATTEMPTS, timeout=None
        ):
            with attempt:
                _resume(client, file, part, advance)
                _verify(file, part, advance)
    except httpx.TransportError as error:
        raise _unreachable_error(file.url, error) from error
    except IncompleteDownloadError as error:
        raise UnavailableError(
            f"{file.name} could not be fetched from {_host(file.url)}: {error}. Try again later"
        ) from error
    part.rename(folder / file.name)


def _resume(client: httpx.Client, file: RemoteFile, part: Path, advance: Callable[[int], None]) -> None:
    offset = _file_size(part)
    if offset >= file.size_bytes:
        return  # whole; or more than that, which the hash tells
    range_header = {"range": f"bytes={offset}-"} if offset else {}
    # What is stored is what is hashed: no encoding on the way.
    with client.stream(
        "GET", file.url, headers=file.headers | range_header | {"accept-encoding": "identity"}
    ) as response:
        _raise_for_status(response)
        if offset and response.status_code != 206:
            advance(-offset)
            offset = 0
        with part.open("ab" if offset else "wb") as out:
            for block in response.iter_bytes(_BLOCK_BYTES):
                out.write(block)
                advance(len(block))


def _verify(file: RemoteFile, part: Path, advance: Callable[[int], None]) -> None:
    size = _file_size(part)
    if size < file.size_bytes:
        raise IncompleteDownloadError(f"it was cut off after {size} of {file.size_bytes} bytes")
    with part.open("rb") as stream:
        is_intact = size == file.size_bytes and file.sha256 in (None, hashlib.file_digest(stream, "sha256").hexdigest())
    if not is_intact:
        part.unlink()
        advance(-size)
        raise IncompleteDownloadError("what came is not what its record says (SHA-256)")


def _raise_for_status(response: httpx.Response) -> None:
    host, code = response.url.host, response.status_code
    if code in (401, 403):
        raise ConflictError(
            "account",
            f"{host} gives this to accounts that accepted its conditions only, or there is no such model: accept them on its"
            " page, and give a token with HF_TOKEN",
        )
    if code == 404:
        raise NotFoundError(f"{host} has no {response.url.path}: look whether the name is right")
    if code == 429 or code >= 500:
        raise IncompleteDownloadError(f"it answered {code}")
    if not response.is_success:
        raise UnavailableError(f"{host} answered {code} for {response.url.path}")


def _unreachable_error(url: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{_host(url)} can't be reached ({error or type(error).__name__}): connect this machine, set HTTPS_PROXY, or pull on"
        " another one and copy the models folder"
    )


def _host(url: str) -> str:
    return httpx.URL(url).host


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
