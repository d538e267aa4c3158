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
        (400, "Parameter 'temperature' not available for this model", "temperature"),
        (400, "temperature is forbidden", "temperature"),
        (400, "`temperature` and `top_p` cannot both be specified for this model.", "temperature"),
        (400, "temperature should be 1 for this model", "temperature"),
        (400, "temperature has been removed for reasoning models", "temperature"),
        (400, "temperature is no longer accepted", "temperature"),
        (400, "This model requires max_completion_tokens instead of max_tokens", "max_tokens"),
        (400, "max_tokens is not allowed; use max_completion_tokens", "max_tokens"),
        (400, "max_tokens cannot be used with this model", "max_tokens"),
        (400, "Invalid parameter: max_tokens", "max_tokens"),
        (400, "'stream_options' can only be specified when 'stream' is true", "stream_options"),
        (400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"),
        (400, "stream_options: not implemented", "stream_options"),
        (500, "create() got an unexpected keyword argument 'stream_options'", "stream_options"),
        (400, "messages[0].role: must be one of user, assistant", "system role"),
        (400, "discriminator property 'role' has invalid value 'system'", "system role"),
        (422, "Input tag 'system' found using 'role' does not match any of the expected tags", "system role"),
        (
            422,
            [{"msg": "Input should be 'user' or 'assistant'", "loc": ["body", "messages", 0, "role"]}],
            "system role",
        ),
        (400, "unknown variant `system`, expected `user` or `assistant`", "system role"),
        (400, "The role 'system' is not allowed", "system role"),
        (400, "role: system is invalid", "system role"),
        (400, "Invalid role: system", "system role"),
        (400, "This model does not accept system messages", "system role"),
        (400, "system messages are forbidden for this model", "system role"),
        (400, "messages.0.role: expected 'user' or 'assistant'", "system role"),
        (400, "The first message must be from the user", "system role"),
        (400, "Conversation must start with a user message", "system role"),
        # No unsupported parameter of these: a value is rejected, or the error is about something else.
        (400, {"message": "max_tokens is too large: 9000. This model supports at most 4096 tokens."}, None),
        (400, {"message": "This model's maximum context length is 4096 tokens."}, None),
        (400, {"message": "max_tokens must be greater than 0, -1 is not allowed"}, None),
        (400, {"message": "max_tokens can only be set to values between 1 and 4096"}, None),
        (400, {"message": "messages[1].role: must be one of user, assistant, system, tool"}, None),
        (400, {"message": "The user's message must not be empty"}, None),
        (400, {"message": "the system is overloaded, no request is accepted"}, None),
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
