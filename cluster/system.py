"""All of Parley on this machine, started and stopped in order: stores, Ray, the Serve applications, the actors."""

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

from cluster.deploying import Deployer
from cluster.flow import ACTOR_CPUS, Flow, unusable
from cluster.keeping import keep_running
from cluster.logs import LEVEL
from cluster.ports import LOOPBACK, is_free
from cluster.ray_node import make_folder, start_ray
from cluster.roles import INSIGHT_KEY, TRANSLATION_KEY, ask_servers, plan_models
from cluster.settings import Settings
from operators.errors import SetupFailed
from operators.models import ROLES, describe, label
from serve.app import API_APP, API_ROUTE, QUIET, build_api
from serve.options import ApiOptions
from storage.configs import save_settings
from storage.database import sync_engine
from storage.embedded import EmbeddedStores, StoreUrls, default_data_dir
from storage.migrate import upgrade
from storage.readiness import await_ready
from storage.urls import checked_stores

READY = 120.0
"""Seconds everything gets to answer."""
SPARE_MODELS = 32
"""CPUs' worth of models that may be configured while it runs, beyond those of its start."""
SPARE_LANES = 16
"""Lanes that may be added while it runs, beyond those that the settings know of."""

log = structlog.get_logger(__name__)


class System:
    """Parley on one machine.

    Args:
        settings: what to run.
        data_dir: where the embedded stores keep their data; only one system at a time runs on it.
        durable: whether the embedded stores survive a loss of power. Only a system that is thrown away needs not.
        say: told what is being started, in words for a person.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path | None,
        *,
        durable: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir or settings.data_dir or default_data_dir()
        self._durable = durable
        self._say = say
        self._stop: list[Callable[[], None]] = []
        self._models = plan_models(settings)

    @property
    def url(self) -> str:
        """Where the HTTP API answers."""
        return f"http://{LOOPBACK}:{self._settings.port}"

    def start(self) -> None:
        """Start everything, or nothing: what was started is stopped again where a later part fails.

        Raises:
            SetupFailed: says what could not be started and what to do.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._claim()
        self._check_port()
        urls = self._start_stores()
        try:
            await_ready(urls.postgres, urls.redis, self._say)
            self._say("bringing the database up to date")
            upgrade(urls.postgres)
            self._put_models_in_force(urls)
            self._ask_servers()
            flow = Flow(self._settings, urls)
            self._stop.append(flow.stop)
            lost = flow.prepare()
        except (DBAPIError, redis.RedisError) as error:
            raise SetupFailed(f"{unusable(error)} if you named one; `parley doctor` says more") from error
        if lost:
            self._say(f"the log had lost {lost} accepted entries; they are counted with their meetings")
        self._start_ray()
        if self._config == self._models.config:
            self._check_gpus()
        self._say("starting the lanes")
        # Stopped before Ray is, in which it lives.
        self._stop.remove(flow.stop)
        self._stop.append(flow.stop)
        flow.start()
        self._start_serve(urls)
        self._say("waiting until everything answers")
        self._await_ready()
        flow.start_maintenance()

    def stop(self) -> None:
        """Stop everything in the reverse order. What is under way is committed or stays pending; nothing is lost."""
        while self._stop:
            try:
                self._stop.pop()()
            except Exception as error:  # noqa: BLE001 - one part that resists must not keep the others running
                log.error("did not stop", error=type(error).__name__)

    def __enter__(self) -> System:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_ready(self) -> None:
        until = time.monotonic() + READY
        missing = "no answer"
        while time.monotonic() < until:
            try:
                # Past any proxy that the environment names: it is for the world outside.
                answer = httpx.get(f"{self.url}/ready", timeout=5, trust_env=False)
                if answer.is_success:
                    return
                parts = answer.json().get("parts", {})
                wrong = {part: how for part, how in parts.items() if not how.startswith("ok")}
                if set(wrong) == {"translation"} and self._config != self._models.config:
                    # It was told what does not start of what was set, and that is changed while all else runs.
                    return
                missing = ", ".join(f"{part} {how}" for part, how in wrong.items())
            except (httpx.HTTPError, ValueError) as error:
                missing = type(error).__name__
            time.sleep(0.1)
        raise SetupFailed(f"not ready after {READY:.0f} seconds: {missing}")

    def _claim(self) -> None:
        """Hold the data folder: two systems on it would fight over its lanes."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._data_dir / "parley.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SetupFailed(
                f"the data folder {self._data_dir} can't be used ({error.strerror}): name another with PARLEY_DATA_DIR or --data"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = os.read(handle, 1000).decode()
            os.close(handle)
            where = json.loads(running)["url"] if running else "a system that is starting"
            raise SetupFailed(f"Parley runs on {self._data_dir} already: {where}") from None
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"url": self.url, "pid": os.getpid()}).encode())
        self._stop.append(lambda: os.close(handle))

    def _check_port(self) -> None:
        if not is_free(self._settings.port):
            raise SetupFailed(f"port {self._settings.port} is taken: choose another with --port or PARLEY_PORT")

    def _start_stores(self) -> StoreUrls:
        settings = self._settings
        if settings.postgres_url and settings.redis_url:
            return checked_stores(settings.postgres_url.get_secret_value(), settings.redis_url.get_secret_value())
        if settings.postgres_url or settings.redis_url:
            raise SetupFailed("give both PARLEY_POSTGRES_URL and PARLEY_REDIS_URL, or neither")
        self._say(f"starting Postgres and Valkey in {self._data_dir}")
        stores = EmbeddedStores(self._data_dir, durable=self._durable)
        self._stop.append(stores.stop)
        urls = stores.start(self._say)
        self._stop.append(keep_running(stores))
        return urls

    def _start_ray(self) -> None:
        self._say("starting Ray")
        settings = self._settings
        folder = make_folder()
        self._stop.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ[LEVEL] = settings.log_level
        self._stop.append(ray.shutdown)
        # A command that shows its own progress asks for errors only, and they are its own.
        start_ray(folder, self._cpus(), log_to_driver=settings.log_level != "error")

    def _put_models_in_force(self, urls: StoreUrls) -> None:
        """The models that the settings give, unless they gave the same before: then what was set since stays."""
        database = sync_engine(urls.postgres)
        try:
            with database.begin() as connection:
                version = save_settings(connection, self._models.config)
        finally:
            database.dispose()
        self._config = version.config
        self._words = self._models.words if version.config == self._models.config else describe(version.config)

    def _ask_servers(self) -> None:
        """Have the models' servers answer a token: what is wrong with them is told before Ray starts.

        Raises:
            SetupFailed: nothing of what the settings ask for will translate.
        """
        settings = self._settings
        # Ray's processes have the keys from here: they are in no argument, which Ray would show.
        for variable, key in ((TRANSLATION_KEY, settings.translation_key), (INSIGHT_KEY, settings.insight_key)):
            if key is not None:
                os.environ[variable] = key.get_secret_value()
        last = self._config.translation[-1:]
        for name, (spec, answer) in ask_servers(self._config, os.environ).items():
            if answer.state == "problem" and (name,) == last and self._config == self._models.config:
                raise SetupFailed(f"{label(spec)} does not translate: {answer.words}")
            if answer.words:
                self._say(f"{label(spec)}: {answer.words}")

    def _cpus(self) -> int:
        """What Ray is told it may hand out: enough for all that is started here, for it would wait for ever for more."""
        models = sum(engine.most * engine.cpus for engine in self._config.engines.values())
        # The maintenance actor, and the API's replica, which takes as much.
        others = 2 + self._settings.most_live_lanes + self._settings.batch_lanes + SPARE_LANES
        return max(os.cpu_count() or 1, math.ceil(len(ROLES) * models + SPARE_MODELS + ACTOR_CPUS * others))

    def _check_gpus(self) -> None:
        engines = [self._config.engines[name] for name in self._config.serving("translation")]
        needed = sum(engine.replicas * engine.gpus for engine in engines)
        found = ray.cluster_resources().get("GPU", 0.0)
        if needed > found:
            raise SetupFailed(
                f"translation needs {needed:.0f} GPUs and Ray finds {found:.0f}: lower PARLEY_TRANSLATION_REPLICAS or"
                " tensor_parallel_size in PARLEY_VLLM_ARGS, or mend CUDA_VISIBLE_DEVICES"
            )

    def _start_serve(self, urls: StoreUrls) -> None:
        settings = self._settings
        self._say(f"starting the HTTP API; {self._words}")
        # Serve tells of its own doings at length.
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(http_options={"host": LOOPBACK, "port": settings.port}, logging_config=QUIET)
        api = ApiOptions(
            urls.postgres,
            urls.redis,
            max_live=settings.max_live,
            lag_limit=settings.lag_limit,
            hosts=settings.hosts,
        )
        deployer = Deployer(urls.postgres, settings.models)
        # Stopped after the lanes: what they still ask is answered.
        self._stop.insert(-1, partial(ray_serve.delete, API_APP))
        self._stop.insert(-1, deployer.stop)
        try:
            target = ray_serve.RunTarget(build_api(api), name=API_APP, route_prefix=API_ROUTE)
            ray_serve.run_many([target], wait_for_applications_running=False)
            deployer.start(self._say)
        except RuntimeError as error:
            raise SetupFailed("Serve did not start the applications") from error
