"""Tests serve/engines/server_errors.py with errors of real servers and gateways that have no HTTP status."""

from __future__ import annotations

import pytest

from operators.errors import MalformedResponseError, MisconfiguredError, ModelLoadingError
from serve.engines.protocol import Message, NonRetryableError, Prompt
from serve.engines.server_errors import ServerFailureError, ServerRejectedError, error_from_body

PROMPT = Prompt((Message("user", "Yes."),), 5)


@pytest.mark.parametrize(
    "message",
    [
        "maximum context length is 4096 tokens",
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
        "Too many tokens in prompt",
        "too many input tokens: 5000 > 4096",
        "Input tokens exceed the configured limit of 4096 tokens",
        "The prompt is too long",
        "prompt length exceeds the model's limit",
        "Please reduce the length of the messages.",
        "Request too large for this model",
        "context window exceeded",
        "The response was filtered by the content filter",
    ],
)
def test_an_error_about_the_request_is_permanent(message: str) -> None:
    error = error_from_body(message, PROMPT)
    assert isinstance(error, NonRetryableError)
    assert not isinstance(error, ServerRejectedError)
    assert type(error) is type(error_from_body({"message": message, "type": "error"}, PROMPT))


@pytest.mark.parametrize(
    "message",
    [
        "Incorrect API key provided",
        "Could not validate credentials",
        "Authentication failed",
        "Insufficient balance",
        "Your account balance is too low",
        "Insufficient account balance, please top up and try again",
        "insufficient_balance",
        "The balance of the account is not enough",
        "You exceeded your current quota, please check your plan and billing details.",
        "This request requires more credits",
        "Access denied: your account is in arrears",
        "unknown model: foo",
        "foo is not a valid model ID",
        "not a valid model ID",
        "The model `foo` does not exist",
        "model 'foo' not found",
        "model_not_found",
        "Unknown model foo",
        "unknown_model",
        "Invalid model name passed in model=foo",
        "invalid model: foo",
        "Unsupported model foo",
        "could not find model foo",
        "no model named foo",
        "The model foo has been decommissioned",
        "No endpoints found for foo/bar.",
    ],
)
def test_an_error_about_the_settings_blocks_the_engine(message: str) -> None:
    assert isinstance(error_from_body(message, PROMPT), MisconfiguredError)


@pytest.mark.parametrize(
    "message",
    [
        "load balancer timeout",
        "The load balancer could not reach an upstream",
        "load balance failed: no upstream",
        "insufficient load balance capacity, try again",
        "Rate limit reached for API key abc",
        "Rate limit reached. Please add a payment method to your account to increase it.",
        "Quota exceeded: 5 requests per minute",
        "Too many tokens, please wait before trying again.",
        "Too many tokens per minute",
        "Billing service unavailable",
        "authentication service timed out",
        "Too many requests",
        "server is busy",
        "Internal error",
        "Upstream connect error",
        "502 Bad Gateway",
        "Invalid response from upstream",
        "Request limit exceeded, try again",
    ],
)
def test_a_temporary_error_is_retried(message: str) -> None:
    assert isinstance(error_from_body(message, PROMPT), ServerFailureError)


@pytest.mark.parametrize("message", ["Model foo is loading", "Model foo is not loaded", "The model is not ready yet"])
def test_a_model_that_is_not_loaded_yet_is_waited_for(message: str) -> None:
    assert isinstance(error_from_body(message, PROMPT), ModelLoadingError)


@pytest.mark.parametrize("message", ["", "The model failed for an unknown reason", "model: unknown error", "oops"])
def test_an_unknown_error_counts_as_no_answer(message: str) -> None:
    error = error_from_body(message, PROMPT)
    assert isinstance(error, MalformedResponseError)


@pytest.mark.parametrize("message", ["Invalid model output", "bad request", "Input flagged by moderation"])
def test_an_error_about_something_else_is_a_rejection(message: str) -> None:
    assert isinstance(error_from_body(message, PROMPT), ServerRejectedError)
