"""Parley on one machine: starts and stops stores, Ray, lanes and Serve applications in order."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

import httpx
import ray
import redis
import structlog
from ray import serve as ray_serve
from sqlalchemy.exc import DBAPIError

from cluster.engine_plan import plan_engines, probe_model_servers, read_engine_keys
from cluster.log_setup import LEVEL_VARIABLE
from cluster.ports import LOOPBACK, is_port_free
from cluster.ray_node import make_ray_folder, start_ray
from cluster.runtime.lane_manager import ACTOR_CPUS, LaneManager, store_error_message
from cluster.runtime.model_deployer import ModelDeployer
from cluster.runtime.store_watchdog import watch_stores
from cluster.settings import Settings
from operators.engine_config import ROLES, describe_translation, display_name
from operators.errors import SetupError
from serve.app_options import ApiOptions
from serve.deploy.builders import API_APP, API_ROUTE, QUIET_LOGGING, build_api
from storage.connections import sync_engine
from storage.embedded_servers.embedded_stores import EmbeddedStores, default_data_dir
from storage.migrations.schema_migration import upgrade_schema
from storage.postgres.engine_config_versions import save_settings_config
from storage.readiness import wait_until_ready
from storage.store_urls import StoreUrls, check_store_urls

READY_TIMEOUT_S = 120.0
"""Seconds that all parts have to become ready."""
SPARE_MODEL_CPUS = 32
"""CPUs for models that are configured while the system runs, in addition to those of its start."""
SPARE_LANE_COUNT = 16
"""Lanes that can be added while the system runs, in addition to those of the settings."""

log = structlog.get_logger(__name__)


class LocalSystem:
    """Parley on one machine.

    Args:
        settings: the system's settings.
        data_dir: the folder of the embedded stores' data; by default that of the settings. Only one system at a time uses it.
        durable: whether the embedded stores survive a loss of power. Only a temporary system may do without.
        on_status: called with a message for the user before each part is started.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path | None,
        *,
        durable: bool = True,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir or settings.data_dir or default_data_dir()
        self._durable = durable
        self._on_status = on_status
        self._stop_callbacks: list[Callable[[], None]] = []
        self._engine_plan = plan_engines(settings)

    @property
    def url(self) -> str:
        """Base URL of the HTTP API."""
        return f"http://{LOOPBACK}:{self._settings.port}"

    def start(self) -> None:
        """Start all parts. If one fails, stop those that were started before.

        Raises:
            SetupError: a part could not be started. The message says which one, and what to do.
            InvalidInputError: the URL of a store is invalid.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._lock_data_dir()
        self._check_port()
        urls = self._start_stores()
        try:
            wait_until_ready(urls.postgres, urls.redis, self._on_status)
            self._on_status("bringing the database up to date")
            upgrade_schema(urls.postgres)
            self._activate_engine_config(urls)
            self._probe_model_servers()
            lane_manager = LaneManager(self._settings, urls, loopback_allowed=not self._settings.hosts)
            self._stop_callbacks.append(lane_manager.stop)
            lost_count = lane_manager.prepare()
        except (DBAPIError, redis.RedisError) as error:
            raise SetupError(f"{store_error_message(error)} if it is set; `parley doctor` shows more") from error
        if lost_count:
            self._on_status(f"the log had lost {lost_count} accepted entries; they are counted with their meetings")
        self._start_ray()
        if self._engine_config == self._engine_plan.config:
            self._check_gpus()
        self._on_status("starting the lanes")
        # The callbacks run in reverse order: the lanes must stop before Ray, in which they run.
        self._stop_callbacks.remove(lane_manager.stop)
        self._stop_callbacks.append(lane_manager.stop)
        lane_manager.start()
        self._start_serve(urls)
        self._on_status("waiting until everything is ready")
        self._await_ready()
        lane_manager.start_maintenance()

    def stop(self) -> None:
        """Stop all parts in reverse order. Translations in flight are committed or stay pending; nothing is lost."""
        while self._stop_callbacks:
            try:
                self._stop_callbacks.pop()()
            except Exception as error:  # noqa: BLE001 - a part that fails to stop must not keep the others running
                log.error("did not stop", error=type(error).__name__)

    def __enter__(self) -> LocalSystem:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        reason = "no answer"
        while time.monotonic() < deadline:
            try:
                # `trust_env=False` bypasses any proxy of the environment, which is for remote hosts.
                response = httpx.get(f"{self.url}/ready", timeout=5, trust_env=False)
                if response.is_success:
                    return
                parts = response.json().get("parts", {})
                not_ready = {part: how for part, how in parts.items() if not how.startswith("ok")}
                if set(not_ready) == {"translation"} and self._engine_config != self._engine_plan.config:
                    # The deployer reported the failed engine, and `parley config` can change it while the rest runs.
                    return
                reason = ", ".join(f"{part} {how}" for part, how in not_ready.items())
            except (httpx.HTTPError, ValueError) as error:
                reason = type(error).__name__
            time.sleep(0.1)
        raise SetupError(f"not ready after {READY_TIMEOUT_S:.0f} seconds: {reason}")

    def _lock_data_dir(self) -> None:
        """Lock the data folder, because two systems must not run the same stores and lanes."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._data_dir / "parley.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SetupError(
                f"the data folder {self._data_dir} can't be used ({error.strerror}): name another with PARLEY_DATA_DIR or --data"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_content = os.read(handle, 1000).decode()
            os.close(handle)
            owner = json.loads(lock_content)["url"] if lock_content else "a system that is starting"
            raise SetupError(f"Parley runs on {self._data_dir} already: {owner}") from None
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"url": self.url, "pid": os.getpid()}).encode())
        self._stop_callbacks.append(lambda: os.close(handle))

    def _check_port(self) -> None:
        if not is_port_free(self._settings.port):
            raise SetupError(f"port {self._settings.port} is in use: choose another with --port or PARLEY_PORT")

    def _start_stores(self) -> StoreUrls:
        settings = self._settings
        if settings.postgres_url and settings.redis_url:
            return check_store_urls(settings.postgres_url.get_secret_value(), settings.redis_url.get_secret_value())
        if settings.postgres_url or settings.redis_url:
            raise SetupError("set both PARLEY_POSTGRES_URL and PARLEY_REDIS_URL, or neither")
        self._on_status(f"starting Postgres and Valkey in {self._data_dir}")
        stores = EmbeddedStores(self._data_dir, durable=self._durable)
        self._stop_callbacks.append(stores.stop)
        urls = stores.start(self._on_status)
        self._stop_callbacks.append(watch_stores(stores))
        return urls

    def _start_ray(self) -> None:
        self._on_status("starting Ray")
        settings = self._settings
        folder = make_ray_folder()
        self._stop_callbacks.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ[LEVEL_VARIABLE] = settings.log_level
        self._stop_callbacks.append(ray.shutdown)
        # A command that shows its own progress sets the level `error`, and prints errors itself.
        start_ray(folder, self._cpu_count(), log_to_driver=settings.log_level != "error")

    def _activate_engine_config(self, urls: StoreUrls) -> None:
        """Store the settings' engines as a new version if they changed since the last start, and load the current version."""
        database = sync_engine(urls.postgres)
        try:
            with database.begin() as connection:
                version = save_settings_config(connection, self._engine_plan.config)
        finally:
            database.dispose()
        self._engine_config = version.config
        self._engine_summary = (
            self._engine_plan.summary
            if version.config == self._engine_plan.config
            else describe_translation(version.config)
        )

    def _probe_model_servers(self) -> None:
        """Request a token or an embedding from each model server, to report its problems before Ray starts.

        Raises:
            SetupError: the engines come from the settings, and the last translation engine does not work.
        """
        # Ray's processes inherit the keys from this environment. Ray would show arguments in its dashboard and logs.
        os.environ.update(read_engine_keys(self._settings))
        last_translation = self._engine_config.translation[-1:]
        for name, (engine, preflight) in probe_model_servers(self._engine_config, os.environ).items():
            if (
                preflight.state == "problem"
                and (name,) == last_translation
                and self._engine_config == self._engine_plan.config
            ):
                raise SetupError(f"{display_name(engine)} does not translate: {preflight.message}")
            if preflight.message:
                self._on_status(f"{display_name(engine)}: {preflight.message}")

    def _cpu_count(self) -> int:
        """Return the number of CPUs that Ray assumes. If actors reserved more, Ray would wait for ever."""
        model_cpus = sum(engine.replica_limit * engine.cpus for engine in self._engine_config.engines.values())
        # The 2 are the maintenance actor and the API's replica, which reserves as much.
        actor_count = 2 + self._settings.effective_live_lanes_max + self._settings.batch_lanes + SPARE_LANE_COUNT
        return max(
            os.cpu_count() or 1, math.ceil(len(ROLES) * model_cpus + SPARE_MODEL_CPUS + ACTOR_CPUS * actor_count)
        )

    def _check_gpus(self) -> None:
        engines = [self._engine_config.engines[name] for name in self._engine_config.engines_for("translation")]
        needed = sum(engine.replicas * engine.gpus for engine in engines)
        available = ray.cluster_resources().get("GPU", 0.0)
        if needed > available:
            raise SetupError(
                f"translation needs {needed:.0f} GPUs and Ray finds {available:.0f}: lower PARLEY_TRANSLATION_REPLICAS or"
                " tensor_parallel_size in PARLEY_VLLM_ARGS, or correct CUDA_VISIBLE_DEVICES"
            )

    def _start_serve(self, urls: StoreUrls) -> None:
        settings = self._settings
        self._on_status(f"starting the HTTP API; {self._engine_summary}")
        # Serve logs much at lower levels.
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(http_options={"host": LOOPBACK, "port": settings.port}, logging_config=QUIET_LOGGING)
        api_options = ApiOptions(
            urls.postgres,
            urls.redis,
            settings.encryption_key.get_secret_value() if settings.encryption_key else None,
            max_live=settings.max_live,
            daily_tokens=settings.daily_tokens,
            lag_limit=settings.lag_limit,
            hosts=settings.hosts,
            private_addresses=settings.private_addresses,
            loopback_allowed=not settings.hosts,
        )
        deployer = ModelDeployer(urls.postgres, settings.models)
        # Inserted before the lanes' callback, so that the applications stop after the lanes and answer their last requests.
        self._stop_callbacks.insert(-1, partial(ray_serve.delete, API_APP))
        self._stop_callbacks.insert(-1, deployer.stop)
        try:
            target = ray_serve.RunTarget(build_api(api_options), name=API_APP, route_prefix=API_ROUTE)
            ray_serve.run_many([target], wait_for_applications_running=False)
            deployer.start(self._on_status)
        except RuntimeError as error:
            raise SetupError("Serve did not start the applications") from error
