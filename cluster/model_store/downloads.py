"""Downloads of large files with the hub's library: resumable, and verified by size and SHA-256."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx2
import stamina
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import get_session, hf_raise_for_status

from operators.errors import ConflictError, NotFoundError, SetupError, UnavailableError

HTTP_TIMEOUT_S = 30.0
"""Seconds that a server has to respond to a request for metadata."""
MAX_ATTEMPTS = 4
"""Maximum number of attempts in a row. Each resumes the download where the previous attempt failed."""
RESERVED_DISK_BYTES = 2**28
"""Bytes of the disk that a download must leave free."""

# With telemetry the library requests a list of programs, and sends which of them runs it.
constants.HF_HUB_DISABLE_TELEMETRY = True


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


def download_files(files: Sequence[RemoteFile], folder: Path, advance: Callable[[int], None]) -> None:
    """Download files into a folder. Files that are complete already are skipped.

    A file gets its final name only when it is complete and verified. Before that it has the suffix `.part`.

    Args:
        files: the files to download.
        folder: the folder, which is created if it doesn't exist.
        advance: called with the number of further bytes, including those from earlier downloads. It is negative if bytes are
            discarded.

    Raises:
        SetupError: the disk has not enough space, or `HF_HUB_OFFLINE` is set.
        UnavailableError: the server can't be reached, or a file fails its verification.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if _file_size(folder / file.name) != file.size_bytes]
    partial_bytes = sum(_file_size(_part_path(file, folder)) for file in missing)
    needed_bytes = sum(file.size_bytes for file in missing) - partial_bytes
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes + RESERVED_DISK_BYTES > free_bytes:
        raise SetupError(
            f"{folder} has {free_bytes / 1e9:.1f} GB free, and the download needs {needed_bytes / 1e9:.1f} GB: free up space"
        )
    advance(sum(file.size_bytes for file in files) - needed_bytes)
    for file in missing:
        part = _part_path(file, folder)
        with download_errors(file.url):
            for attempt in stamina.retry_context(on=_is_transient, attempts=MAX_ATTEMPTS, timeout=None):
                with attempt:
                    _resume(file, part, advance)
        _verify(file, part)
        part.rename(folder / file.name)


def fetch_json(url: str) -> Any:
    """Return the JSON of a small resource.

    Raises:
        SetupError: `HF_HUB_OFFLINE` is set.
        UnavailableError: the server can't be reached, or does not answer with JSON.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such resource.
    """
    with download_errors(url):
        response = get_session().get(url, timeout=HTTP_TIMEOUT_S)
        hf_raise_for_status(response)
        return response.json()


@contextmanager
def download_errors(url: str) -> Generator[None]:
    """Turn the library's errors in the block into errors of Parley. These name the host of the URL and the fix.

    Raises:
        SetupError: `HF_HUB_OFFLINE` is set.
        UnavailableError: the server can't be reached, or its answer can't be read.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such resource.
    """
    host = _host(url)
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise SetupError("HF_HUB_OFFLINE is set: unset it to download models") from error
    except HfHubHTTPError as error:
        raise _status_error(error.response) from error
    except httpx2.HTTPError as error:
        raise UnavailableError(
            f"{host} can't be reached ({error or type(error).__name__}): connect this machine, set HTTPS_PROXY, or pull on"
            " another machine and copy the models folder"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UnavailableError(
            f"{host} did not answer as expected: check HF_ENDPOINT, and whether a proxy requires a login"
        ) from error


class _ProgressBar:
    """The part of tqdm's interface that the library uses for progress.

    Args:
        advance: called with the number of further bytes.
        reported: bytes of this file that are reported already.
        initial: bytes that the library keeps of them: 0 if the server sends the whole file.
    """

    def __init__(self, advance: Callable[[int], None], reported: int, *, initial: int, **_: object) -> None:
        self.update = advance
        if initial != reported:
            advance(initial - reported)

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _resume(file: RemoteFile, part: Path, advance: Callable[[int], None]) -> None:
    offset = _file_size(part)
    if offset == file.size_bytes:
        return
    with part.open("ab") as stream:
        if offset > file.size_bytes:
            stream.truncate(0)
            advance(-offset)
            offset = 0
        http_get(
            file.url,
            stream,
            resume_size=offset,
            # Without a content encoding, the stored bytes are those that the hash is of.
            headers=file.headers | {"accept-encoding": "identity"},
            displayed_filename=file.name,
            tqdm_class=cast(Any, partial(_ProgressBar, advance, offset)),
        )


def _verify(file: RemoteFile, part: Path) -> None:
    size = _file_size(part)
    if size < file.size_bytes:
        raise UnavailableError(f"{file.name} ended after {size} of {file.size_bytes} bytes: pull again to resume it")
    with part.open("rb") as stream:
        is_intact = size == file.size_bytes and file.sha256 in (None, hashlib.file_digest(stream, "sha256").hexdigest())
    if not is_intact:
        part.unlink()
        raise UnavailableError(f"{file.name} from {_host(file.url)} does not match its size or SHA-256: pull it again")


def _is_transient(error: Exception) -> bool:
    """Return whether a retry may help. The library itself retries after a timeout, a refused connection, and status 429."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, httpx2.ReadError)


def _status_error(response: httpx2.Response) -> Exception:
    host, code, path = response.url.host, response.status_code, response.url.path
    if code in (401, 403):
        return ConflictError(
            "account",
            f"{host} requires an account that accepted the model's conditions, or has no such model: accept them on its page,"
            " and set a token with HF_TOKEN",
        )
    if code == 404:
        return NotFoundError(f"{host} has no {path}: check the name")
    return UnavailableError(f"{host} answered {code} for {path}: try again later")


def _part_path(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.name}.part"


def _host(url: str) -> str:
    return httpx2.URL(url).host


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
