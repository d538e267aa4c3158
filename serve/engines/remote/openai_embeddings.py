"""Engine of an embedding model on an OpenAI-compatible server, over its Embeddings API: vLLM, Ollama, llama.cpp, a gateway.

The server gets the texts as they are. Models that require a prefix for queries or passages, such as E5, need a server that
adds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import httpx2
import openai
import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from operators.embeddings import EmbeddingRequest, Embeddings
from operators.errors import MalformedResponseError, MisconfiguredError, UnavailableError, UnreachableError
from serve.engines.embedding_engine import prepare_text, to_unit_vector
from serve.engines.protocol import Message, Prompt
from serve.engines.remote.openai_client import make_openai_client, map_connection_error
from serve.engines.server_errors import ServerRejectedError, error_from_body, error_from_status

log = structlog.get_logger(__name__)

TOTAL_TIMEOUT_S = 60.0
"""Seconds that a server has for the whole answer. The client's timeout only limits each silence."""
MAX_ANSWER_BYTES = 32 * 2**20
"""Maximum size of an answer in bytes: room for 64 vectors of 16,000 components."""
_CONTROL_TEXT = "OK?"
"""A text that no server has a reason to reject."""
_Component = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Vector(BaseModel):
    index: Annotated[int, Field(strict=True)]
    embedding: list[_Component]


class _Answer(BaseModel):
    data: list[_Vector] | None = None
    error: Any = None


_ANSWER = TypeAdapter(_Answer)


class OpenAiEmbeddingEngine:
    """Calls an embedding model on an OpenAI-compatible server.

    Args:
        url: base URL of the API, like `http://127.0.0.1:11434/v1`.
        model: the model's name on that server.
        key: the API key; None if the server needs none.
        body: extra fields for each request body, like `{"dimensions": 512}`.
    """

    name = "openai"

    def __init__(self, url: str, model: str, key: str | None = None, body: Mapping[str, Any] | None = None) -> None:
        self.version = model
        self._body = dict(body or {})
        self._client = make_openai_client(url, key)
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the server answers no request, since its last answer; None if it answers, or fails for a moment only."""
        return self._problem

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Embed texts in one request to the server. A rejected text makes the server reject all of them.

        Raises:
            NonRetryableError: the server rejects these texts.
            UnavailableError: the server can't be reached, rejects the key or the model, or is overloaded.
            MalformedResponseError: the response is no answer: one vector a text, of the same dimensions, with a direction.
        """
        # Servers reject a text without characters.
        texts = [prepare_text(text) or " " for text in request.texts]
        try:
            vectors = await self._request_vectors(texts)
        except ServerRejectedError:
            await self._check_control()
            raise
        except (MisconfiguredError, UnreachableError) as error:
            self._record_problem(error)
            raise
        self._problem = None
        # Some models give vectors of different dimensions by request: those can't be compared.
        return Embeddings(f"{self.name} {self.version} {len(vectors[0])}", vectors)

    async def check_health(self) -> None:
        """Do nothing: a new replica would not bring the server back. `problem` reports the server's state."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _check_control(self) -> None:
        """Check that a server which rejected texts embeds another one.

        Raises:
            MisconfiguredError: the server rejects that one, too.
            UnavailableError: the server doesn't answer.
        """
        try:
            await self._request_vectors([_CONTROL_TEXT])
        except ServerRejectedError as error:
            problem = MisconfiguredError(f"the model's server refuses every request: {error.server_message}")
            self._record_problem(problem)
            raise problem from None

    def _record_problem(self, error: UnavailableError) -> None:
        if str(error) != self._problem:
            self._problem = str(error)
            log.error("the embedding model's server answers no request", model=self.version, problem=self._problem)

    async def _request_vectors(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        # Texts of the request are removed from a server's error message.
        sent = Prompt(tuple(Message("user", text) for text in texts), max_tokens=0)
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return _parse_answer(await self._read_answer(texts), sent)
        except TimeoutError:
            raise UnavailableError("the model's server sent no whole answer in time") from None
        # `from None`: a server's message may quote a text.
        except openai.APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            raise error_from_status(error.status_code, error.body, sent, retry_after) from None
        except openai.APIConnectionError as error:
            raise map_connection_error(error) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            raise UnavailableError(f"the model's server: {type(error).__name__}") from None

    async def _read_answer(self, texts: Sequence[str]) -> bytes:
        answer = bytearray()
        request: Any = self._client.embeddings.with_streaming_response.create(
            model=self.version, input=list(texts), encoding_format="float", extra_body=self._body
        )
        async with request as response, aclosing(response.iter_bytes()) as pieces:
            async for piece in pieces:
                answer += piece
                if len(answer) > MAX_ANSWER_BYTES:
                    raise MalformedResponseError(f"the model's server sent more than {MAX_ANSWER_BYTES} bytes")
        return bytes(answer)


def _parse_answer(answer: bytes, sent: Prompt) -> tuple[tuple[float, ...], ...]:
    """Return the vectors of an answer in the order of the texts.

    Raises:
        NonRetryableError, UnavailableError: the answer is an error.
        MalformedResponseError: the answer doesn't have one vector a text, of the same dimensions.
    """
    try:
        parsed = _ANSWER.validate_json(answer)
    except ValidationError as error:
        # The error's own message quotes the answer.
        fault = error.errors(include_input=False, include_context=False, include_url=False)[0]
        path = ".".join(map(str, fault["loc"])) or "the body"
        raise MalformedResponseError(f"the model's server sent no vectors: {path}: {fault['type']}") from None
    if parsed.error is not None:
        raise error_from_body(parsed.error, sent)
    vectors = sorted(parsed.data or (), key=lambda vector: vector.index)
    if [vector.index for vector in vectors] != list(range(len(sent.messages))):
        raise MalformedResponseError(f"the model's server sent {len(vectors)} vectors for {len(sent.messages)} texts")
    if len({len(vector.embedding) for vector in vectors}) != 1:
        raise MalformedResponseError("the model's server sent vectors of different dimensions")
    return tuple(to_unit_vector(vector.embedding) for vector in vectors)
