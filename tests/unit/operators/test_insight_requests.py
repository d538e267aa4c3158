"""Insight requests: valid and invalid fields."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from operators.errors import InvalidInputError
from operators.insight_requests import Insight, InsightRequest, InsightRole

REQUEST = InsightRequest("default", "m", InsightRole.INSIGHT, "", ("Ann: Good morning.",), "Sum it up.", "en")


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("task", " \n", "must not be empty"),
        ("language", "klingon!", "language tag"),
        ("max_tokens", 0, "1 or more"),
        ("temperature", -0.1, "0 to 2"),
        ("temperature", 2.1, "0 to 2"),
        ("temperature", float("nan"), "0 to 2"),
        ("schema", {"type": "strnig"}, "JSON schema; see its \\$.type"),
        ("schema", {"properties": []}, "JSON schema; see its \\$.properties"),
    ],
)
def test_invalid_request_is_rejected_by_field(field: str, value: object, fix: str) -> None:
    with pytest.raises(InvalidInputError, match=fix) as caught:
        replace(REQUEST, **{field: value})
    assert caught.value.field == field


def test_request_and_response_are_immutable_and_survive_pickle() -> None:
    request = replace(REQUEST, schema={"type": "object"}, role=InsightRole.CHAT)
    insight = Insight("{}", {}, "vllm m", 10, 2, 1, "stop")
    for thing in (request, insight):
        assert pickle.loads(pickle.dumps(thing)) == thing
        assert len(pickle.dumps(thing)) < 400
        with pytest.raises(FrozenInstanceError):
            thing.__setattr__(fields(thing)[0].name, "other")


def test_empty_transcript_is_accepted() -> None:
    assert replace(REQUEST, transcript_lines=()).transcript_lines == ()
