"""Tests serve/engines/remote/finish_reasons.py with the finish reasons of real servers and gateways."""

from __future__ import annotations

import pytest

from operators.errors import MalformedResponseError, UnavailableError
from serve.engines.protocol import NonRetryableError
from serve.engines.remote.finish_reasons import parse_finish_reason


@pytest.mark.parametrize(
    "reason",
    [
        *("length", "max_tokens", "MAX_TOKENS", "MaxTokens", "maxTokens", "max_length", "model_length", "length_limit"),
        *("model_context_window_exceeded", "incomplete", "truncated", "ERROR_LIMIT", "limit", "max_new_tokens"),
        *("FinishReason.MAX_TOKENS", "contextLengthReached", "maxPredictedTokensReached", "token-limit", "too long"),
        *("context_length_exceeded", "max_output_tokens", "output limit reached", "max_completion_tokens"),
    ],
)
def test_an_answer_that_was_cut_off_is_too_long(reason: str) -> None:
    assert parse_finish_reason(reason, "Um texto") == "length"


@pytest.mark.parametrize(
    "reason",
    [
        *(
            "content_filter",
            "ContentFilter",
            "contentfilter",
            "content_filtered",
            "SAFETY",
            "ERROR_TOXIC",
            "moderation",
        ),
        *("guardrail_intervened", "SPII", "BLOCKLIST", "refusal", "policy_violation", "PROHIBITED_CONTENT", "blocked"),
    ],
)
def test_a_filter_ended_the_answer(reason: str) -> None:
    with pytest.raises(NonRetryableError):
        parse_finish_reason(reason, "Um texto")


@pytest.mark.parametrize("reason", ["rate_limit", "RateLimitExceeded", "overloaded_error", "server_busy", "throttled"])
def test_the_server_is_overloaded(reason: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        parse_finish_reason(reason, "Um texto")
    assert type(caught.value) is UnavailableError


@pytest.mark.parametrize(
    "reason",
    [
        *(
            "error",
            "ERROR",
            "error_internal",
            "InternalError",
            "USER_CANCEL",
            "cancel",
            "cancelled",
            "canceled",
            "abort",
        ),
        *("timeout", "time_limit", "timed_out", "interrupted", "modelUnloaded", "userStopped", "MALFORMED_RESPONSE"),
        *("connection_closed", "client_disconnected", "not_finished", "engine_dead", "preempted", "ERROR_UNKNOWN"),
    ],
)
def test_the_answer_was_interrupted(reason: str) -> None:
    with pytest.raises(MalformedResponseError):
        parse_finish_reason(reason, "Um texto")


@pytest.mark.parametrize(
    "reason",
    [
        *(
            "stop",
            "STOP",
            "end_turn",
            "EndTurn",
            "eos",
            "eos_token",
            "eosFound",
            "COMPLETE",
            "completed",
            "stop_sequence",
        ),
        *("FINISH_REASON_STOP", "FinishReason.STOP", "endoftext", "stopStringFound", "tool_calls", "no_error", "done"),
        *("normal", "success", "other", "unknown", "", "FINISH_REASON_UNSPECIFIED", "max_stop", "end_id"),
    ],
)
def test_any_other_answer_is_complete(reason: str) -> None:
    assert parse_finish_reason(reason, "Um texto") == "stop"
    if reason.casefold() != "stop":
        with pytest.raises(MalformedResponseError):
            parse_finish_reason(reason, " ")
