"""Fetches files that are too large to be fetched twice: goes on where it was cut off, and keeps only what is what it should be."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import stamina

from operators.errors import Refused, SetupFailed, Unavailable, Unknown

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
ATTEMPTS = 4
"""Tries of a file in a row; each goes on where the last one was cut off."""
SPARE = 2**28
"""Bytes of a disk that are left free."""
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Remote:
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
    size: int
    sha256: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in (".", ".."):
            raise SetupFailed(f"{_host(self.url)} names a file that would lie elsewhere: nothing of it is taken")


class Broken(Exception):
    """A file came, and isn't what it should be, or only a part of it: to be tried again."""


def fetch(files: Sequence[Remote], folder: Path, advance: Callable[[int], None]) -> None:
    """Fetch files into a folder. What is there whole already is left; a file has its name only once it is whole and right.

    Args:
        files: what to fetch.
        folder: where to; made where it isn't there.
        advance: told of bytes as they come, and of those that were there.

    Raises:
        SetupFailed: the disk has no room, or a file is not what its record says.
        Unavailable: the server can't be reached.
        Refused: it asks for an account.
        Unknown: there is no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if _size(folder / file.name) != file.size]
    here = sum(_size(folder / f"{file.name}.part") for file in missing)
    needed = sum(file.size for file in missing) - here
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise SetupFailed(f"{folder} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are to come: make room")
    advance(sum(file.size for file in files) - needed)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for file in missing:
            _fetch(client, file, folder, advance)


def get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask for something small.

    Raises:
        Unavailable: the server can't be reached.
        Refused: it asks for an account.
        Unknown: there is no such thing.
    """
    try:
        for attempt in stamina.retry_context(on=(httpx.TransportError, Broken), attempts=ATTEMPTS, timeout=None):
            with attempt:
                answer = httpx.get(url, headers=headers, timeout=TIMEOUT, follow_redirects=True)
                _check(answer)
                return answer
    except (httpx.TransportError, Broken) as error:
        raise _unreachable(url, error) from error
    raise AssertionError("an attempt returns or raises")


def _fetch(client: httpx.Client, file: Remote, folder: Path, advance: Callable[[int], None]) -> None:
    part = folder / f"{file.name}.part"
    try:
        for attempt in stamina.retry_context(on=(httpx.TransportError, Broken), attempts=ATTEMPTS, timeout=None):
            with attempt:
                _append(client, file, part, advance)
                _verify(file, part, advance)
    except httpx.TransportError as error:
        raise _unreachable(file.url, error) from error
    except Broken as error:
        raise Unavailable(
            f"{file.name} could not be fetched from {_host(file.url)}: {error}. Try again later"
        ) from error
    part.rename(folder / file.name)


def _append(client: httpx.Client, file: Remote, part: Path, advance: Callable[[int], None]) -> None:
    here = _size(part)
    if here >= file.size:
        return  # whole; or more than that, which the hash tells
    asked = {"range": f"bytes={here}-"} if here else {}
    # What is stored is what is hashed: no encoding on the way.
    with client.stream("GET", file.url, headers=file.headers | asked | {"accept-encoding": "identity"}) as answer:
        _check(answer)
        if here and answer.status_code != 206:
            advance(-here)
            here = 0
        with part.open("ab" if here else "wb") as out:
            for piece in answer.iter_bytes(_PIECE):
                out.write(piece)
                advance(len(piece))


def _verify(file: Remote, part: Path, advance: Callable[[int], None]) -> None:
    size = _size(part)
    if size < file.size:
        raise Broken(f"it was cut off after {size} of {file.size} bytes")
    with part.open("rb") as stream:
        right = size == file.size and file.sha256 in (None, hashlib.file_digest(stream, "sha256").hexdigest())
    if not right:
        part.unlink()
        advance(-size)
        raise Broken("what came is not what its record says (SHA-256)")


def _check(answer: httpx.Response) -> None:
    host, code = answer.url.host, answer.status_code
    if code in (401, 403):
        raise Refused(
            "account",
            f"{host} gives this to accounts that accepted its conditions only, or there is no such model: accept them on its"
            " page, and give a token with HF_TOKEN",
        )
    if code == 404:
        raise Unknown(f"{host} has no {answer.url.path}: look whether the name is right")
    if code == 429 or code >= 500:
        raise Broken(f"it answered {code}")
    if not answer.is_success:
        raise Unavailable(f"{host} answered {code} for {answer.url.path}")


def _unreachable(url: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{_host(url)} can't be reached ({error or type(error).__name__}): connect this machine, set HTTPS_PROXY, or pull on"
        " another one and copy the models folder"
    )


def _host(url: str) -> str:
    return httpx.URL(url).host


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
