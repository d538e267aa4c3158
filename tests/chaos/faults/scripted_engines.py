"""The real translation service on Ray, with scripted engines: replicas can be killed, engines can fail or hang."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import psutil
from ray import serve as ray_serve

from operators.engine_config import DEFAULT_TRANSLATION_APP, FirefoxConfig
from operators.errors import UnavailableError
from serve.deploy.builders import DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S
from serve.deploy.deployment import make_deployment
from serve.engines.protocol import Generation, TokenStream, Utterance
from serve.translation.translation_service import TranslationService

APPLICATION = DEFAULT_TRANSLATION_APP


class ScriptedEngine:
    """An engine whose translation is a function of the text. Files in a folder make it fail or hang.

    Args:
        folder: the engine creates `<process id>.engine` in it. The file `dead` makes every engine fail, and
            `<process id>.wedged` makes the engine of that process hang.
        seconds: seconds each answer takes.
        max_concurrent: the number of answers generated concurrently. Further requests wait.
    """

    name = "scripted"
    version = "1"
    sources = frozenset({"en"})

    def __init__(self, folder: Path, seconds: float, max_concurrent: int) -> None:
        self._failure_file, self._hang_file = folder / "dead", folder / f"{os.getpid()}.wedged"
        self._seconds, self._slots = seconds, asyncio.Semaphore(max_concurrent)
        (folder / f"{os.getpid()}.engine").touch()

    def supports(self, source: str, target: str) -> bool:
        return True

    async def generate(self, request: Utterance) -> TokenStream:
        async with self._slots:
            await self._respond()
        text = f"{request.target}:{request.text.upper()}"
        yield text
        yield Generation(text, "scripted", "stop", 0, 0, self._seconds, self._seconds)

    async def check_health(self) -> None:
        await self._respond()

    async def close(self) -> None:
        return

    async def _respond(self) -> None:
        if self._failure_file.exists():
            raise UnavailableError("the engine is dead")
        while self._hang_file.exists():
            await asyncio.sleep(0.05)
        await asyncio.sleep(self._seconds)


class ScriptedTranslationApp:
    """Runs the translation application inside a `with` block.

    Args:
        folder: the engines' folder. It must hold no files of other engines.
        replicas: the number of replicas, each a process.
        seconds: seconds each answer of an engine takes.
        max_concurrent: the number of answers each engine generates concurrently.
    """

    def __init__(self, folder: Path, replicas: int = 1, *, seconds: float = 0.05, max_concurrent: int = 16) -> None:
        self._folder = folder
        self._engine = partial(ScriptedEngine, folder, seconds, max_concurrent)
        self._spec = FirefoxConfig(replicas=replicas, cpus=0.1)

    def __enter__(self) -> ScriptedTranslationApp:
        # Deployed as in production, except for the engine.
        deployment_class = make_deployment("TranslationService", self._spec, DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S)
        application = deployment_class(TranslationService).bind(self._engine, 10_000)
        ray_serve.run(application, name=APPLICATION, route_prefix=None)
        return self

    def __exit__(self, *_: object) -> None:
        self.restore_engines()
        ray_serve.delete(APPLICATION)

    def replica_pids(self) -> list[int]:
        """The ids of the live processes that have an engine, oldest first."""
        engine_files = sorted(self._folder.glob("*.engine"), key=lambda file: file.stat().st_mtime_ns)
        return [int(file.stem) for file in engine_files if _is_alive(int(file.stem))]

    def kill_replica(self) -> bool:
        """SIGKILL the oldest replica. Returns False if there is no replica."""
        for pid in self.replica_pids()[:1]:
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def hang_engine(self) -> int:
        """Make the oldest replica's engine hang while its process lives on. Returns the process id."""
        pid = self.replica_pids()[0]
        (self._folder / f"{pid}.wedged").touch()
        return pid

    def fail_all_engines(self) -> None:
        """Make every engine fail, including the engines of new replicas."""
        (self._folder / "dead").touch()

    def restore_engines(self) -> None:
        """Make failing engines work again."""
        (self._folder / "dead").unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
