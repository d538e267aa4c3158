"""The preflight check of a remote engine: it requests one token, or one embedding, and describes the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from operators.embeddings import EmbeddingRequest
from operators.engine_config import RemoteEngineConfig
from operators.errors import MisconfiguredError, ModelLoadingError, UnavailableError, UnreachableError
from serve.deploy.engine_factory import build_remote_embedding_engine, build_remote_engine
from serve.engines.protocol import NonRetryableError, ReasoningOnlyError, generate_token
from serve.engines.remote.openai import OpenAiEngine
from serve.engines.server_errors import ServerRejectedError

TOKEN_TIMEOUT_S = 8.0
"""Seconds a server has for one token or one embedding. Loading a model takes longer."""
PreflightProbe = Literal["token", "embedding"]
"""The request to a server: a `token` of a language model, or an `embedding`."""

NameT = TypeVar("NameT")


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """The outcome of a preflight check.

    Attributes:
        state: `ok`: the server answered; `loading`: it may answer later; `problem`: the settings or the server need a fix.
        message: a description for a person; empty if there is nothing to report.
    """

    state: Literal["ok", "loading", "problem"]
    message: str = ""


def check_servers(
    servers: Mapping[NameT, tuple[RemoteEngineConfig, str | None, PreflightProbe]],
) -> dict[NameT, PreflightResult]:
    """Check servers, all at the same time.

    Args:
        servers: each engine's configuration, its API key and the request to send, by name.

    Returns:
        The outcomes, by name.
    """

    async def run_checks() -> list[PreflightResult]:
        return list(await asyncio.gather(*(check_server(*server) for server in servers.values())))

    return dict(zip(servers, asyncio.run(run_checks()), strict=True))


async def check_server(config: RemoteEngineConfig, key: str | None, probe: PreflightProbe) -> PreflightResult:
    """Check a server by one request.

    Args:
        config: the engine's configuration.
        key: the API key for its server; None if it needs none.
        probe: the request to send.
    """
    omitted: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(TOKEN_TIMEOUT_S):
            if probe == "embedding":
                await _request_embedding(config, key)
            else:
                omitted = await _request_token(config, key)
    except (TimeoutError, ModelLoadingError):
        return PreflightResult(
            "loading",
            f"{_server_address(config)} produced no {probe} within {TOKEN_TIMEOUT_S:.0f} s: it may be loading its model",
        )
    except UnreachableError:
        return PreflightResult(
            "problem", f"no server answers at {_server_address(config)}: start the server, or correct its address"
        )
    except ReasoningOnlyError as error:
        return PreflightResult("ok", str(error))
    except ServerRejectedError as error:
        return PreflightResult("problem", f"{_server_address(config)} refuses every question: {error.server_message}")
    except (MisconfiguredError, NonRetryableError) as error:
        return PreflightResult("problem", f"{_server_address(config)}: {error}")
    except UnavailableError as error:
        return PreflightResult("loading", f"{_server_address(config)}: {error}")
    return PreflightResult(
        "ok", f"asked without {', '.join(omitted)}, which its server does not take" if omitted else ""
    )


async def _request_token(config: RemoteEngineConfig, key: str | None) -> tuple[str, ...]:
    """Request one token, and return the parameters that the server doesn't support."""
    engine = build_remote_engine(config, key)
    try:
        await generate_token(engine.generate)
    finally:
        await engine.close()
    return engine.omitted_parameters if isinstance(engine, OpenAiEngine) else ()


async def _request_embedding(config: RemoteEngineConfig, key: str | None) -> None:
    engine = build_remote_embedding_engine(config, key)
    try:
        await engine.embed(EmbeddingRequest(("OK?",), "query"))
    finally:
        await engine.close()


def _server_address(config: RemoteEngineConfig) -> str:
    parts = urlsplit(config.url)
    return parts.netloc or config.url
