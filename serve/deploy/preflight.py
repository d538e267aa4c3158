"""Asks a model's server for one token before anything is started for it, and says in words what it said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from operators.engine_config import RemoteEngineConfig
from operators.errors import MisconfiguredError, ModelLoadingError, UnavailableError, UnreachableError
from serve.deploy.engine_factory import build_remote_engine
from serve.engines.protocol import NonRetryableError, ReasoningOnlyError, generate_token
from serve.engines.remote.openai import OpenAiEngine
from serve.engines.server_errors import ServerRejectedError

TOKEN_TIMEOUT_S = 8.0
"""Seconds that a server has for a token. One that loads its model takes longer."""

NameT = TypeVar("NameT")


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """What a server said.

    Attributes:
        state: `ok`: it answered; `loading`: it is there and may answer later; `problem`: somebody has to mend something.
        words: what it said, for a person; empty where it just answered.
    """

    state: Literal["ok", "loading", "problem"]
    message: str = ""


def check_servers(servers: Mapping[NameT, tuple[RemoteEngineConfig, str | None]]) -> dict[NameT, PreflightResult]:
    """Ask servers for a token, all at the same time.

    Args:
        servers: the engines by name, each with its key.
    """

    async def run_checks() -> list[PreflightResult]:
        return list(await asyncio.gather(*(check_server(spec, key) for spec, key in servers.values())))

    return dict(zip(servers, asyncio.run(run_checks()), strict=True))


async def check_server(config: RemoteEngineConfig, key: str | None) -> PreflightResult:
    """Ask a server for a token.

    Args:
        spec: the engine.
        key: what its server asks for.

    """
    engine = build_remote_engine(config, key)
    try:
        async with asyncio.timeout(TOKEN_TIMEOUT_S):
            await generate_token(engine.generate)
    except (TimeoutError, ModelLoadingError):
        return PreflightResult(
            "loading",
            f"{_server_address(config)} gave no token within {TOKEN_TIMEOUT_S:.0f} s: it may be loading its model",
        )
    except UnreachableError:
        return PreflightResult(
            "problem", f"nobody answers at {_server_address(config)}: start the server, or mend its address"
        )
    except ReasoningOnlyError as error:
        return PreflightResult("ok", str(error))
    except ServerRejectedError as error:
        return PreflightResult("problem", f"{_server_address(config)} refuses every question: {error.server_message}")
    except (MisconfiguredError, NonRetryableError) as error:
        return PreflightResult("problem", f"{_server_address(config)}: {error}")
    except UnavailableError as error:
        return PreflightResult("loading", f"{_server_address(config)}: {error}")
    finally:
        await engine.close()
    omitted = engine.omitted_parameters if isinstance(engine, OpenAiEngine) else ()
    return PreflightResult(
        "ok", f"asked without {', '.join(omitted)}, which its server does not take" if omitted else ""
    )


def _server_address(config: RemoteEngineConfig) -> str:
    parts = urlsplit(config.url)
    return parts.netloc or config.url
