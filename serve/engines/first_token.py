"""Asks a model's server for one token before anything is started for it, and says in words what it said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from operators.errors import Loading, Misconfigured, Unavailable, Unreachable
from operators.models import Remote
from serve.engines.engine import ThoughtOnly, Unanswerable, answer_token
from serve.engines.making import make_remote
from serve.engines.openai import OpenAiEngine
from serve.engines.remote import RefusedByServer

PATIENCE_S = 8.0
"""Seconds that a server has for a token. One that loads its model takes longer."""

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What a server said.

    Attributes:
        state: `ok`: it answered; `loading`: it is there and may answer later; `problem`: somebody has to mend something.
        words: what it said, for a person; empty where it just answered.
    """

    state: Literal["ok", "loading", "problem"]
    words: str = ""


def first_tokens(servers: Mapping[Name, tuple[Remote, str | None]]) -> dict[Name, FirstToken]:
    """Ask servers for a token, all at the same time.

    Args:
        servers: the engines by name, each with its key.
    """

    async def asked() -> list[FirstToken]:
        return list(await asyncio.gather(*(first_token(spec, key) for spec, key in servers.values())))

    return dict(zip(servers, asyncio.run(asked()), strict=True))


async def first_token(spec: Remote, key: str | None) -> FirstToken:
    """Ask a server for a token.

    Args:
        spec: the engine.
        key: what its server asks for.

    """
    engine = make_remote(spec, key)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await answer_token(engine.generate)
    except (TimeoutError, Loading):
        return FirstToken(
            "loading", f"{_where(spec)} gave no token within {PATIENCE_S:.0f} s: it may be loading its model"
        )
    except Unreachable:
        return FirstToken("problem", f"nobody answers at {_where(spec)}: start the server, or mend its address")
    except ThoughtOnly as error:
        return FirstToken("ok", str(error))
    except RefusedByServer as error:
        return FirstToken("problem", f"{_where(spec)} refuses every question: {error.words}")
    except (Misconfigured, Unanswerable) as error:
        return FirstToken("problem", f"{_where(spec)}: {error}")
    except Unavailable as error:
        return FirstToken("loading", f"{_where(spec)}: {error}")
    finally:
        await engine.close()
    omitted = engine.omitted if isinstance(engine, OpenAiEngine) else ()
    return FirstToken("ok", f"asked without {', '.join(omitted)}, which its server does not take" if omitted else "")


def _where(spec: Remote) -> str:
    parts = urlsplit(spec.url)
    return parts.netloc or spec.url
