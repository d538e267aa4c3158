"""Makes an engine from its configuration, in the process that uses it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.engine_config import (
    REMOTE_ENGINE_TYPES,
    E5Config,
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
from serve.engines.embedding_engine import EmbeddingEngine
from serve.engines.protocol import Prompt, TranslationEngine
from serve.engines.remote.hot_swap import HotSwapEngine
from serve.engines.selection import (
    E5_MISSING_MESSAGE,
    VLLM_MISSING_MESSAGE,
    find_model_problem,
    is_e5_installed,
    is_vllm_installed,
)
from serve.translation.llm.translator import LlmTranslator

if TYPE_CHECKING:
    from serve.engines.remote.openai import OpenAiEngine

# Each engine's module is imported where it is used: some take seconds to load, and a replica needs only one.


class EngineFactory:
    """Makes the engine of a role. A remote engine can be swapped for another while it is in use.

    Args:
        config: the engine's configuration.
        models: a folder of further models for the Firefox engine.
    """

    def __init__(self, config: EngineConfig, models: Path | None = None) -> None:
        # If the constructor arguments change, Serve restarts the replicas. A remote engine can change without a restart, so its
        # configuration isn't one of them: the replicas get it through `swap`.
        self._config = None if isinstance(config, REMOTE_ENGINE_TYPES) else config
        self._models = models
        self._hot_swap: HotSwapEngine | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Serve pickles the constructor arguments again while the replica runs, to inspect them. Leave out the engine in use.
        return {"_config": self._config, "_models": self._models, "_hot_swap": None}

    def create_translator(self) -> TranslationEngine:
        """Make the translation engine.

        Raises:
            SetupError: the engine can't be made here; the message names what is missing.
        """
        if isinstance(self._config, FirefoxConfig):
            from serve.engines.firefox.engine import FirefoxEngine

            return FirefoxEngine(self._models)
        return LlmTranslator(self.create_language_model())

    def create_language_model(self) -> protocol.Engine[Prompt]:
        """Make the engine that answers prompts. A remote engine is usable only after `swap` has passed its configuration.

        Raises:
            SetupError: the engine can't be made here; the message names what is missing.
        """
        if self._config is not None:
            return build_language_model(self._config)
        self._hot_swap = HotSwapEngine(build_language_model)
        return self._hot_swap

    def swap(self, config: EngineConfig) -> bool:
        """Replace the remote engine: later requests go to the new one.

        Args:
            config: the new engine's configuration.

        Returns:
            Whether the engine differs from the one before.

        Raises:
            SetupError: the engine can't be made; the one before stays in use.
        """
        return self._hot_swap is not None and self._hot_swap.swap(config)


def build_language_model(config: EngineConfig) -> protocol.Engine[Prompt]:
    """Make an engine that answers prompts.

    Args:
        config: the engine's configuration.

    Raises:
        SetupError: the engine can't be made here; the message names what is missing.
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

            # llama.cpp's threads spin: more threads than the replica has cores would starve each other.
            threads = max(1, int(config.cpus))
            thread_arguments = {"cpuparams.n_threads": threads, "cpuparams_batch.n_threads": threads}
            return LlamaCppEngine(Path(config.model), thread_arguments | config.arguments)
        case FirefoxConfig():
            raise SetupError("Firefox's models translate and do nothing else")
        case E5Config():
            raise SetupError("E5 embeds texts and does nothing else")


def build_embedding_engine(config: EngineConfig) -> EmbeddingEngine:
    """Make an engine that embeds texts.

    Args:
        config: the engine's configuration.

    Raises:
        SetupError: the engine can't be made here, or its kind doesn't embed texts; the message names what is missing.
    """
    match config:
        case E5Config():
            from serve.engines.local.e5 import E5Engine

            return E5Engine()
        case OpenAiConfig() | TranslationV3Config() | TritonConfig():
            return build_remote_embedding_engine(config, read_api_key(config.key))
        case _:
            raise SetupError(f"engines of the kind {config.kind} don't embed texts")


def build_remote_embedding_engine(config: RemoteEngineConfig, key: str | None) -> EmbeddingEngine:
    """Make an engine that calls an embedding server.

    Args:
        config: the engine's configuration.
        key: the API key for its server; None if it needs none.

    Raises:
        SetupError: engines of this kind don't embed texts.
    """
    if not isinstance(config, OpenAiConfig):
        raise SetupError(f"engines of the kind {config.kind} don't embed texts")
    from serve.engines.remote.openai_embeddings import OpenAiEmbeddingEngine

    return OpenAiEmbeddingEngine(config.url, config.model, key, config.body)


def build_remote_engine(config: RemoteEngineConfig, key: str | None) -> protocol.Engine[Prompt]:
    """Make a remote engine without a circuit breaker.

    Args:
        config: the engine's configuration.
        key: the API key for its server; None if it needs none.
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
    """Check an engine's requirements on this machine, before anything is started for it.

    Args:
        config: the engine's configuration.
        model_setting: the name of the setting that holds the model, for the message.

    Raises:
        SetupError: a requirement is missing; the message names it.
    """
    if isinstance(config, VllmConfig):
        if problem := find_model_problem(config.model):
            raise SetupError(f"{model_setting}: {problem}")
        if not is_vllm_installed():
            raise SetupError(VLLM_MISSING_MESSAGE)
    if isinstance(config, E5Config) and not is_e5_installed():
        raise SetupError(E5_MISSING_MESSAGE)
    if isinstance(config, REMOTE_ENGINE_TYPES):
        read_api_key(config.key)


def read_api_key(variable: str | None) -> str | None:
    """Return the API key from an environment variable; None if no variable is named.

    Raises:
        SetupError: the variable holds no key.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SetupError(f"{variable} holds no key: set it in the environment of Ray on every node")
    return key
