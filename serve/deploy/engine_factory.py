"""Makes engines as the models' configuration names them, in the process that is to use them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.engine_config import (
    REMOTE_ENGINE_TYPES,
    EngineConfig,
    FirefoxConfig,
    LlamaCppConfig,
    OpenAiConfig,
    RemoteEngineConfig,
    TranslationV3Config,
    TritonConfig,
    VllmConfig,
)
from operators.errors import SetupError
from serve.engines import protocol
from serve.engines.protocol import Prompt, TranslationEngine
from serve.engines.remote.hot_swap import HotSwapEngine
from serve.engines.selection import VLLM_MISSING_MESSAGE, find_model_problem, is_vllm_installed
from serve.translation.llm.translator import LlmTranslator

if TYPE_CHECKING:
    from serve.engines.remote.openai import OpenAiEngine

# Each engine's module is imported where it is used: some take seconds to load, and no replica needs two of them.


class EngineFactory:
    """Makes one engine for a role, and changes it where that can be done while it is in use: where it runs elsewhere.

    Args:
        config: the engine's configuration.
        models: a folder of further models of Firefox's.
    """

    def __init__(self, config: EngineConfig, models: Path | None = None) -> None:
        # Serve starts replicas anew where what they are made of differs: what may change in place is told them later.
        self._config = None if isinstance(config, REMOTE_ENGINE_TYPES) else config
        self._models = models
        self._hot_swap: HotSwapEngine | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Serve pickles what a replica was made with again once it runs, to look through it: not the engine that is in use.
        return {"_config": self._config, "_models": self._models, "_hot_swap": None}

    def create_translator(self) -> TranslationEngine:
        """Make the engine that translates.

        Raises:
            SetupError: it can't be made here; the message says what is missing.
        """
        if isinstance(self._config, FirefoxConfig):
            from serve.engines.firefox.engine import FirefoxEngine

            return FirefoxEngine(self._models)
        return LlmTranslator(self.create_language_model())

    def create_language_model(self) -> protocol.Engine[Prompt]:
        """Make the engine that answers prompts. One that runs elsewhere must be told by `change` which one it is.

        Raises:
            SetupError: it can't be made here; the message says what is missing.
        """
        if self._config is not None:
            return build_language_model(self._config)
        self._hot_swap = HotSwapEngine(build_language_model)
        return self._hot_swap

    def swap(self, config: EngineConfig) -> bool:
        """Answer by another engine elsewhere from now on.

        Returns:
            Whether it is another one.

        Raises:
            SetupError: it can't be made; the one before stays.
        """
        return self._hot_swap is not None and self._hot_swap.swap(config)


def build_language_model(config: EngineConfig) -> protocol.Engine[Prompt]:
    """Make an engine that answers prompts.

    Raises:
        SetupError: it can't be made here; the message says what is missing.
    """
    match config:
        case VllmConfig():
            from serve.engines.local.vllm import VllmEngine

            return VllmEngine(config.model, config.arguments)
        case OpenAiConfig():
            from serve.engines.remote.circuit_breaker import CircuitBreakerEngine
            from serve.engines.remote.warm_up import WarmUpEngine

            return CircuitBreakerEngine(
                WarmUpEngine(
                    _build_openai_engine(config, read_api_key(config.key)),
                    config.load_seconds,
                    config.keep_warm_seconds,
                )
            )
        case TranslationV3Config() | TritonConfig():
            from serve.engines.remote.circuit_breaker import CircuitBreakerEngine

            return CircuitBreakerEngine(build_remote_engine(config, read_api_key(config.key)))
        case LlamaCppConfig():
            from serve.engines.local.llamacpp import LlamaCppEngine

            # Its threads spin: more of them than the replica has cores for would starve each other.
            threads = max(1, int(config.cpus))
            thread_arguments = {"cpuparams.n_threads": threads, "cpuparams_batch.n_threads": threads}
            return LlamaCppEngine(Path(config.model), thread_arguments | config.arguments)
        case FirefoxConfig():
            raise SetupError("Firefox's models translate and do nothing else")


def build_remote_engine(config: RemoteEngineConfig, key: str | None) -> protocol.Engine[Prompt]:
    """Make an engine elsewhere, without a circuit breaker.

    Args:
        config: the engine's configuration.
        key: what its server asks for.
    """
    match config:
        case OpenAiConfig():
            return _build_openai_engine(config, key)
        case TranslationV3Config():
            from serve.engines.remote.translation_v3 import TranslationV3Engine

            return TranslationV3Engine(config.url, key, config.model)
        case TritonConfig():
            from serve.engines.remote.triton import TritonEngine

            return TritonEngine(config.url, config.model, key)


def _build_openai_engine(config: OpenAiConfig, key: str | None) -> OpenAiEngine:
    from serve.engines.remote.openai import OpenAiEngine

    return OpenAiEngine(config.url, config.model, key, config.body)


def check_requirements(config: EngineConfig, model_setting: str = "model") -> None:
    """Look at what an engine needs of this machine, before anything is started for it.

    Args:
        model: what the setting is called that names its model.

    Raises:
        SetupError: something is missing; the message says what.
    """
    if isinstance(config, VllmConfig):
        if problem := find_model_problem(config.model):
            raise SetupError(f"{model_setting}: {problem}")
        if not is_vllm_installed():
            raise SetupError(VLLM_MISSING_MESSAGE)
    if isinstance(config, REMOTE_ENGINE_TYPES):
        read_api_key(config.key)


def read_api_key(variable: str | None) -> str | None:
    """The key that a variable of the environment holds; None where none is named.

    Raises:
        SetupError: it holds none.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SetupError(f"{variable} holds no key: set it in the environment of Ray on every node")
    return key
