"""Downloads of large files: resumable, and verified by size and SHA-256."""

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
"""Maximum number of attempts in a row. Each resumes the download where the previous attempt failed."""
RESERVED_DISK_BYTES = 2**28
"""Bytes of the disk that a download must leave free."""
_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download.

    Attributes:
        url: URL of the file.
        name: name of the local file, without a folder.
        size_bytes: size in bytes.
        sha256: SHA-256 of the content in hexadecimal; None if it is unknown.
        headers: HTTP headers of the request. They may contain a token, so that `repr` hides them.

    Raises:
        SetupError: the name contains a folder.
    """

    url: str
    name: str
    size_bytes: int
    sha256: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in (".", ".."):
            raise SetupError(f"{_host(self.url)} names a file outside the download folder: nothing is downloaded")


class IncompleteDownloadError(Exception):
    """A download ended early, failed at the server, or has the wrong content. It is retried."""


def download_files(files: Sequence[RemoteFile], folder: Path, advance: Callable[[int], None]) -> None:
    """Download files into a folder. Files that are complete already are skipped.

    A file gets its final name only when it is complete and verified. Before that it has the suffix `.part`.

    Args:
        files: the files to download.
        folder: the folder, which is created if it doesn't exist.
        advance: called with the number of further bytes, including those from earlier downloads. It is negative if bytes are
            discarded.

    Raises:
        SetupError: the disk has not enough space.
        UnavailableError: the server can't be reached, or a file fails its verification repeatedly.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if _file_size(folder / file.name) != file.size_bytes]
    partial_bytes = sum(_file_size(folder / f"{file.name}.part") for file in missing)
    needed_bytes = sum(file.size_bytes for file in missing) - partial_bytes
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes + RESERVED_DISK_BYTES > free_bytes:
        raise SetupError(
            f"{folder} has {free_bytes / 1e9:.1f} GB free, and the download needs {needed_bytes / 1e9:.1f} GB: free up space"
        )
    advance(sum(file.size_bytes for file in files) - needed_bytes)
    with httpx.Client(timeout=HTTP_TIMEOUT, follow_redirects=True) as client:
        for file in missing:
            _download(client, file, folder, advance)


def http_get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a GET request for a small resource, with retries.

    Args:
        url: URL of the resource.
        headers: HTTP headers of the request.

    Returns:
        The successful response.

    Raises:
        UnavailableError: the server can't be reached.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such resource.
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
            f"{file.name} could not be downloaded from {_host(file.url)}: {error}. Try again later"
        ) from error
    part.rename(folder / file.name)


def _resume(client: httpx.Client, file: RemoteFile, part: Path, advance: Callable[[int], None]) -> None:
    offset = _file_size(part)
    if offset >= file.size_bytes:
        return  # Complete, or too large, which the verification detects.
    range_header = {"range": f"bytes={offset}-"} if offset else {}
    # Without a content encoding, the stored bytes are those that the hash is of.
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
        raise IncompleteDownloadError(f"the transfer ended after {size} of {file.size_bytes} bytes")
    with part.open("rb") as stream:
        is_intact = size == file.size_bytes and file.sha256 in (None, hashlib.file_digest(stream, "sha256").hexdigest())
    if not is_intact:
        part.unlink()
        advance(-size)
        raise IncompleteDownloadError("the content does not match its size or SHA-256")


def _raise_for_status(response: httpx.Response) -> None:
    host, code = response.url.host, response.status_code
    if code in (401, 403):
        raise ConflictError(
            "account",
            f"{host} requires an account that accepted the model's conditions, or has no such model: accept them on its page,"
            " and set a token with HF_TOKEN",
        )
    if code == 404:
        raise NotFoundError(f"{host} has no {response.url.path}: check the name")
    if code == 429 or code >= 500:
        raise IncompleteDownloadError(f"the server answered {code}")
    if not response.is_success:
        raise UnavailableError(f"{host} answered {code} for {response.url.path}")


def _unreachable_error(url: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{_host(url)} can't be reached ({error or type(error).__name__}): connect this machine, set HTTPS_PROXY, or pull on"
        " another machine and copy the models folder"
    )


def _host(url: str) -> str:
    return httpx.URL(url).host


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
