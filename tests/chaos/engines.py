"""The real translation service on a real Ray, over scripted engines: replicas can be killed, engines told to fail."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import psutil
from ray import serve as ray_serve

from operators.errors import Unavailable
from operators.models import TRANSLATION_APP, Firefox
from serve.app import engine_deployment
from serve.engines.engine import Answer, Generation, Utterance
from serve.translation import TranslationService

APP = TRANSLATION_APP


class ScriptedEngine:
    """Answers with a function of the text, as files in a folder tell it to.

    Args:
        folder: it leaves its process' id there. `dead` there makes every engine fail, `<process id>.wedged` makes that one
            take questions and say nothing.
        seconds: an answer takes.
        at_once: answers it works on; more wait.
    """

    name = "scripted"
    version = "1"
    sources = frozenset({"en"})

    def __init__(self, folder: Path, seconds: float, at_once: int) -> None:
        self._dead, self._wedged = folder / "dead", folder / f"{os.getpid()}.wedged"
        self._seconds, self._room = seconds, asyncio.Semaphore(at_once)
        (folder / f"{os.getpid()}.engine").touch()

    def supports(self, source: str, target: str) -> bool:
        return True

    async def generate(self, question: Utterance) -> Answer:
        async with self._room:
            await self._work()
        text = f"{question.target}:{question.text.upper()}"
        yield text
        yield Generation(text, "scripted", "stop", 0, 0, self._seconds, self._seconds)

    async def check_health(self) -> None:
        await self._work()

    async def close(self) -> None:
        return

    async def _work(self) -> None:
        if self._dead.exists():
            raise Unavailable("the engine is dead")
        while self._wedged.exists():
            await asyncio.sleep(0.05)
        await asyncio.sleep(self._seconds)


class Service:
    """The translation application, for as long as the block.

    Args:
        folder: for the engines; there must be none of others in it.
        replicas: processes.
        seconds, at_once: as of each engine.
    """

    def __init__(self, folder: Path, replicas: int = 1, *, seconds: float = 0.05, at_once: int = 16) -> None:
        self._folder = folder
        self._engine = partial(ScriptedEngine, folder, seconds, at_once)
        self._spec = Firefox(replicas=replicas, cpus=0.1)

    def __enter__(self) -> Service:
        application = engine_deployment("TranslationService", self._spec)(TranslationService).bind(self._engine, 10_000)
        ray_serve.run(application, name=APP, route_prefix=None)
        return self

    def __exit__(self, *_: object) -> None:
        self.revive()
        ray_serve.delete(APP)

    def replicas(self) -> list[int]:
        """The processes that have an engine, the oldest first."""
        left = sorted(self._folder.glob("*.engine"), key=lambda file: file.stat().st_mtime_ns)
        return [int(file.stem) for file in left if _lives(int(file.stem))]

    def kill(self) -> bool:
        """SIGKILL of the replica that is there longest. False where none is there."""
        for pid in self.replicas()[:1]:
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def wedge(self) -> int:
        """Let one engine fall silent, in a process that lives on. Returns that process' id."""
        pid = self.replicas()[0]
        (self._folder / f"{pid}.wedged").touch()
        return pid

    def die(self) -> None:
        """Let every engine fail, those of new replicas too."""
        (self._folder / "dead").touch()

    def revive(self) -> None:
        """Engines work again."""
        (self._folder / "dead").unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
