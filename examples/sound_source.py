"""Sound for a transcription service: a WAV file, or raw samples from stdin, in real time.

The sound is 16-bit PCM with one channel and 16,000 samples a second.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import wave
from typing import BinaryIO, cast

from parley_stream import ForwarderError

SAMPLE_RATE = 16_000
BLOCK_S = 0.1
BLOCK_BYTES = round(SAMPLE_RATE * BLOCK_S) * 2
MAX_BURST_S = 0.5
"""Most sound that is sent at once after a delay (s). Services refuse sound that is much faster than real time."""


class SoundSource:
    """Sound in blocks of a tenth of a second.

    Args:
        path: a WAV file; `-` for raw samples from stdin.
        speed: the speed, where 1 is real time.

    Raises:
        ForwarderError: the file can't be read, or has another format.
    """

    def __init__(self, path: str, speed: float = 1.0) -> None:
        self._wav = None if path == "-" else _open_wav(path)
        self._step_s = BLOCK_S / speed
        self._pipe: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._due = 0.0
        self._is_over = False

    def end(self) -> None:
        """Read no further sound. A reader that waits gets the end."""
        self._is_over = True
        if self._pipe is not None:
            self._pipe.feed_eof()

    def close(self) -> None:
        """Close the file or pipe."""
        if self._transport is not None:
            self._transport.close()
        if self._wav is not None:
            self._wav.close()

    async def read(self, timeout_s: float) -> bytes | None:
        """Return the next block once it is due; `b""` at the end.

        Args:
            timeout_s: seconds to wait for sound from stdin. Then the result is None.
        """
        if self._is_over:
            return b""
        try:
            async with asyncio.timeout(timeout_s):
                block = await self._read_block()
        except TimeoutError:
            return None
        if len(block) < 2:
            self._is_over = True
            return b""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due + self._step_s, now - MAX_BURST_S)
        await asyncio.sleep(self._due - now)
        # Some services refuse a block that is too short.
        return block.ljust(BLOCK_BYTES, b"\0")

    async def _read_block(self) -> bytes:
        if self._wav is not None:
            return self._wav.readframes(BLOCK_BYTES // 2)
        if self._pipe is None:
            stdin = cast("BinaryIO", sys.stdin.buffer)
            if stat.S_ISREG(os.fstat(stdin.fileno()).st_mode):
                return stdin.read(BLOCK_BYTES)
            self._pipe = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(self._pipe)
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, stdin)
        try:
            return await self._pipe.readexactly(BLOCK_BYTES)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except OSError:
            return b""


def _open_wav(path: str) -> wave.Wave_read:
    advice = f"convert it: ffmpeg -i {path} -ar 16000 -ac 1 -c:a pcm_s16le sound.wav"
    try:
        wav = wave.open(path, "rb")  # noqa: SIM115 - `SoundSource.close` closes it
    except OSError as error:
        raise ForwarderError(f"{path} can't be read: {error.strerror}") from None
    except (wave.Error, EOFError):
        raise ForwarderError(f"{path} is no WAV file with PCM: {advice}") from None
    if (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) != (SAMPLE_RATE, 1, 2):
        wav.close()
        raise ForwarderError(f"{path} must have 16,000 samples a second, one channel and 16 bits: {advice}")
    return wav
