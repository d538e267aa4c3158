"""Tests serve/engines/remote/request_parameters.py with the error messages of real servers."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engines.protocol import Message, Prompt
from serve.engines.remote.request_parameters import (
    OptionalParameter,
    build_parameters,
    find_unsupported_parameter,
    without_system_role,
)

SENT: tuple[OptionalParameter, ...] = ("max_tokens", "temperature", "stream_options", "system role")
PYDANTIC = [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]


@pytest.mark.parametrize(
    ("status", "error", "found"),
    [
        (
            400,
            {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model."
                " Use 'max_completion_tokens' instead.",
                "type": "invalid_request_error",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            },
            "max_tokens",
        ),
        (
            400,
            {
                "message": "Unsupported value: 'temperature' does not support 0 with this model."
                " Only the default (1) value is supported.",
                "param": "temperature",
                "code": "unsupported_value",
            },
            "temperature",
        ),
        (400, {"message": "`temperature` is deprecated for this model."}, "temperature"),
        (400, {"message": "invalid temperature: only 1 is allowed for this model"}, "temperature"),
        (422, {"error": "Input validation error: `temperature` must be strictly positive"}, "temperature"),
        (
            400,
            {
                "message": "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                "param": "messages[0].role",
                "code": "unsupported_value",
            },
            "system role",
        ),
        (400, {"object": "error", "message": "System role not supported", "code": 400}, "system role"),
        (500, {"message": "Value is not callable: System role not supported at row 1"}, "system role"),
        (400, {"message": "Only user, assistant and tool roles are supported, got system."}, "system role"),
        (400, {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}, "system role"),
        (400, {"message": "Developer instruction is not enabled for models/gemma-3-4b-it"}, "system role"),
        (400, {"message": 'messages: Unexpected role "system".'}, "system role"),
        (422, {"detail": PYDANTIC}, "stream_options"),
        (422, {"object": "error", "message": {"detail": PYDANTIC}}, "stream_options"),
        (
            400,
            {"message": 'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'},
            "stream_options",
        ),
        (400, {"message": "Unrecognized request argument supplied: stream_options"}, "stream_options"),
        (400, "1 validation error: body -> stream_options: extra fields not permitted", "stream_options"),
        # No unsupported parameter of these: a value is rejected, or the error is about something else.
        (400, {"message": "max_tokens is too large: 9000. This model supports at most 4096 tokens."}, None),
        (400, {"message": "This model's maximum context length is 4096 tokens."}, None),
        (400, {"message": "Unsupported parameter: 'reasoning_effort'", "param": "reasoning_effort"}, None),
        (400, {"code": "data_inspection_failed", "message": "Input may hold unsupported content."}, None),
        (404, {"message": "Unsupported parameter: 'max_tokens'"}, None),
        (503, {"message": "Unsupported parameter: 'max_tokens'"}, None),
    ],
)
def test_the_unsupported_parameter_is_found_in_the_error(
    status: int, error: Any, found: OptionalParameter | None
) -> None:
    assert find_unsupported_parameter(status, error, SENT) == found
    assert find_unsupported_parameter(status, error, [name for name in SENT if name != found]) is None


def test_a_request_omits_unsupported_parameters() -> None:
    question = Prompt((Message("system", "Say it back."), Message("user", "Yes.")), 5)
    assert build_parameters(question, ()) == {
        "max_tokens": 5,
        "temperature": 0.0,
        "stream_options": {"include_usage": True},
    }
    assert build_parameters(question, {"max_tokens", "temperature"}) == {
        "max_completion_tokens": 5,
        "stream_options": {"include_usage": True},
    }
    assert build_parameters(question, {"max_tokens", "max_completion_tokens", "temperature", "stream_options"}) == {}
    assert without_system_role(question.messages) == (Message("user", "Say it back.\n\nYes."),)
    assert without_system_role(question.messages[1:]) == question.messages[1:]
