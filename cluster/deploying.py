"""Keeps Serve's applications of models as the configuration in force says: each engine of each role is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from ray import serve as ray_serve
from ray.serve import Application

from operators.errors import SetupFailed
from operators.models import ROLES, Engine, ModelsConfig, Role, application
from serve.app import build_insight, build_translation
from serve.applications import standing
from serve.options import TranslationOptions
from storage.configs import Following, Version, note_problems
from storage.database import sync_engine

LOOK = 0.1
"""Seconds between two looks at whether the configuration changed, and at whether an application is there."""
FIRST_RETRY, LAST_RETRY = 10.0, 300.0
"""Seconds before what did not start is deployed again: at first, and what that doubles to."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    role: Role
    engine: Engine


class Deployer:
    """Deploys what a version names, and deletes what it doesn't name any more. What does not start is tried again.

    Args:
        postgres_url: the database.
        models: a folder of further models of Firefox's.
    """

    def __init__(self, postgres_url: str, models: Path | None) -> None:
        self._models = models
        self._database = sync_engine(postgres_url)
        self._following = Following(postgres_url)
        self._stopping = threading.Event()
        self._deployed: dict[str, _Wanted] = {}
        self._thread: threading.Thread | None = None

    def start(self, say: Callable[[str], None]) -> None:
        """Deploy the version in force, wait until something translates, and follow from then on.

        Args:
            say: told what does not start, where there is another one for it, or where it can be changed while all else runs.

        Raises:
            SetupFailed: nothing of what the settings ask for will translate; says why.
        """
        self._following.wait(30)
        version = self._following.current
        if version is None:
            raise SetupFailed("the models' configuration can't be read: look at PARLEY_POSTGRES_URL")
        problems = self._deploy(version)
        names = version.config.applications("translation")
        last = names[-1] if names else None
        if last is not None and last not in problems and (problem := _await(last)):
            problems[last] = problem
        if last in problems and version.origin == "settings":
            raise SetupFailed(problems[last])
        for name, problem in problems.items():
            say(f"{name} does not start: {problem}; `parley config` changes that")
        self._thread = threading.Thread(target=self._follow, args=(version.version,), name="deployer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer, and delete the applications."""
        self._stopping.set()
        self._following.stop()
        if self._thread is not None:
            self._thread.join()
        for name in self._deployed:
            ray_serve.delete(name)
        self._database.dispose()

    def _follow(self, tried: int) -> None:
        """Deploy each new version at once, and what does not start again and again.

        Args:
            tried: the version that was deployed last.
        """
        wait, retry_at = FIRST_RETRY, time.monotonic() + FIRST_RETRY
        while not self._stopping.wait(LOOK):
            version = self._following.current
            if version is None or (version.version == tried and time.monotonic() < retry_at):
                continue
            if version.version != tried:
                tried, wait = version.version, FIRST_RETRY
            try:
                self._deploy(version)
            except Exception as error:  # noqa: BLE001 - whatever it is: it is tried again, and a newer version may do
                log.warning("models not deployed", version=version.version, error=type(error).__name__)
                retry_at = time.monotonic() + FIRST_RETRY
            else:
                retry_at, wait = time.monotonic() + wait, min(LAST_RETRY, 2 * wait)

    def _deploy(self, version: Version) -> dict[str, str]:
        """Deploy what of a version isn't deployed yet, or was given up.

        Returns:
            By application, what keeps it from being started.
        """
        wanted, problems = _applications(version.config), dict[str, str]()
        if self._deployed:
            now = standing()
            for name in [each for each in self._deployed if now.gave_up(each)]:
                # Serve tries it again only where it is another one, or is new.
                ray_serve.delete(name, _blocking=False)
                del self._deployed[name]
        targets: list[ray_serve.RunTarget] = []
        for name, each in wanted.items():
            if each == self._deployed.get(name):
                continue
            try:
                built = self._build(each)
            except (SetupFailed, OSError) as error:
                problems[name] = str(error)
                log.error("an engine can't be started", application=name, reason=str(error))
                continue
            targets.append(ray_serve.RunTarget(built, name=name, route_prefix=None))
        if targets:
            ray_serve.run_many(targets, wait_for_applications_running=False)
            log.info("models deployed", version=version.version, applications=[target.name for target in targets])
        self._deployed |= {target.name: wanted[target.name] for target in targets}
        for name in [each for each in self._deployed if each not in wanted]:
            # Its replicas end what they have begun; nobody waits for them.
            ray_serve.delete(name, _blocking=False)
            del self._deployed[name]
        with self._database.begin() as connection:
            note_problems(connection, version.version, problems)
        return problems

    def _build(self, wanted: _Wanted) -> Application:
        engine = wanted.engine
        if wanted.role == "translation":
            return build_translation(TranslationOptions(engine=engine, models=self._models))
        return build_insight(engine)


def _applications(config: ModelsConfig) -> dict[str, _Wanted]:
    """The applications that a configuration asks for, by their names."""
    return {
        application(role, name): _Wanted(role, config.engines[name]) for role in ROLES for name in config.serving(role)
    }


def _await(name: str) -> str:
    """Wait until an application runs; what keeps it from it, where it never will."""
    while (how := standing().of(name))[0] != "running":
        if how[0] == "deploy_failed":
            return how[1]
        time.sleep(LOOK)
    return ""
