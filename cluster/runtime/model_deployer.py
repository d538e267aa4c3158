"""Deploys the current engine configuration on Ray Serve, with one application for each engine of each role."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from ray import serve as ray_serve
from ray.serve import Application

from operators.engine_config import ROLES, EngineConfig, EnginesConfig, Role, serve_app_name
from operators.errors import SetupError
from serve.app_options import TranslationOptions
from serve.application_status import fetch_application_statuses
from serve.deploy.builders import build_embedding, build_insight, build_translation
from serve.ray_internals import delete_app_in_background
from storage.connections import sync_engine
from storage.postgres.engine_config_versions import EngineConfigRecord, EngineConfigWatcher, record_problems

POLL_S = 0.1
"""Seconds between two checks for a new configuration, and between two polls of an application's status."""
FIRST_RETRY_S, LAST_RETRY_S = 10.0, 300.0
"""Seconds before a failed application is deployed again. The pause doubles from the first value up to the last."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _DesiredApplication:
    role: Role
    engine: EngineConfig


class ModelDeployer:
    """Deploys the engines of the current configuration version, and deletes the others. Failed starts are retried.

    Args:
        postgres_url: the database.
        models: a folder of further Firefox models.
    """

    def __init__(self, postgres_url: str, models: Path | None) -> None:
        self._models = models
        self._database = sync_engine(postgres_url)
        self._config_watcher = EngineConfigWatcher(postgres_url)
        self._stopping = threading.Event()
        self._deployed: dict[str, _DesiredApplication] = {}
        self._thread: threading.Thread | None = None

    def start(self, on_status: Callable[[str], None]) -> None:
        """Deploy the current version, wait for its last translation engine, and then follow new versions in a thread.

        Args:
            on_status: called with a message for each application that does not start while the system can still run.

        Raises:
            SetupError: the version comes from the settings, and its last translation engine can't start. Or the configuration
                can't be read.
        """
        self._config_watcher.wait_until_loaded(30)
        version = self._config_watcher.current
        if version is None:
            raise SetupError("the engine configuration can't be read: check PARLEY_POSTGRES_URL")
        problems = self._deploy(version)
        names = version.config.serve_app_names("translation")
        last = names[-1] if names else None
        if last is not None and last not in problems and (problem := _await_running(last)):
            problems[last] = problem
        if last in problems and version.origin == "settings":
            raise SetupError(problems[last])
        for name, problem in problems.items():
            on_status(f"{name} does not start: {problem}; change it with `parley config`")
        self._thread = threading.Thread(
            target=self._deploy_changes, args=(version.version,), name="deployer", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop following the configuration, and delete the applications."""
        self._stopping.set()
        self._config_watcher.stop()
        if self._thread is not None:
            self._thread.join()
        for name in self._deployed:
            ray_serve.delete(name)
        self._database.dispose()

    def _deploy_changes(self, last_version: int) -> None:
        """Deploy each new version at once, and retry failed starts until stopped.

        Args:
            last_version: the version that was deployed last.
        """
        retry_delay_s, retry_at = FIRST_RETRY_S, time.monotonic() + FIRST_RETRY_S
        while not self._stopping.wait(POLL_S):
            version = self._config_watcher.current
            if version is None or (version.version == last_version and time.monotonic() < retry_at):
                continue
            if version.version != last_version:
                last_version, retry_delay_s = version.version, FIRST_RETRY_S
            try:
                self._deploy(version)
            except Exception as error:  # noqa: BLE001 - any error is retried, and a newer version may succeed
                log.warning("models not deployed", version=version.version, error=type(error).__name__)
                retry_at = time.monotonic() + FIRST_RETRY_S
            else:
                retry_at, retry_delay_s = time.monotonic() + retry_delay_s, min(LAST_RETRY_S, 2 * retry_delay_s)

    def _deploy(self, version: EngineConfigRecord) -> dict[str, str]:
        """Deploy the applications of a version that are new or changed, or that Serve gave up.

        Returns:
            By application, the reason why it can't be started.
        """
        desired, problems = _desired_applications(version.config), dict[str, str]()
        if self._deployed:
            statuses = fetch_application_statuses()
            for name in [app_name for app_name in self._deployed if statuses.is_given_up(app_name)]:
                # Serve retries an application only if it is changed or new.
                delete_app_in_background(name)
                del self._deployed[name]
        targets: list[ray_serve.RunTarget] = []
        for name, application in desired.items():
            if application == self._deployed.get(name):
                continue
            try:
                built = self._build(application)
            except (SetupError, OSError) as error:
                problems[name] = str(error)
                log.error("engine can't be started", application=name, reason=str(error))
                continue
            targets.append(ray_serve.RunTarget(built, name=name, route_prefix=None))
        if targets:
            ray_serve.run_many(targets, wait_for_applications_running=False)
            log.info("models deployed", version=version.version, applications=[target.name for target in targets])
        self._deployed |= {target.name: desired[target.name] for target in targets}
        for name in [app_name for app_name in self._deployed if app_name not in desired]:
            # The replicas finish their requests in the background.
            delete_app_in_background(name)
            del self._deployed[name]
        with self._database.begin() as connection:
            record_problems(connection, version.version, problems)
        return problems

    def _build(self, desired: _DesiredApplication) -> Application:
        engine = desired.engine
        match desired.role:
            case "translation":
                return build_translation(TranslationOptions(engine=engine, models=self._models))
            case "insight" | "chat":
                return build_insight(engine)
            case "embedding":
                return build_embedding(engine)


def _desired_applications(config: EnginesConfig) -> dict[str, _DesiredApplication]:
    """Return the applications of a configuration by name."""
    return {
        serve_app_name(role, name): _DesiredApplication(role, config.engines[name])
        for role in ROLES
        for name in config.engines_for(role)
    }


def _await_running(name: str) -> str:
    """Wait until an application runs or failed.

    Returns:
        An empty string if it runs, or the reason why it failed.
    """
    while (status := fetch_application_statuses().status_of(name))[0] != "running":
        if status[0] == "deploy_failed":
            return status[1]
        time.sleep(POLL_S)
    return ""
