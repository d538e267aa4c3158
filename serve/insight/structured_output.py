"""Extracts JSON from an answer and validates it against its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from serve.engines.protocol import Generation, NonRetryableError

_CODE_FENCE = re.compile(r"^```(?:json)?\s*\n(.*)\n\s*```$", re.DOTALL)
"""A Markdown code fence, which unconstrained models often put around JSON."""


def parse_structured(generation: Generation, schema: Mapping[str, Any]) -> Any:
    """Parse and validate the JSON of an answer.

    Args:
        generation: the answer.
        schema: the JSON schema.

    Returns:
        The parsed data.

    Raises:
        NonRetryableError: the answer was cut off, isn't JSON, or violates the schema. The message quotes nothing of the answer.
    """
    if generation.finish == "length":
        raise NonRetryableError("the answer did not come to its end in the tokens it may have")
    text = generation.text.strip()
    if fenced := _CODE_FENCE.match(text):
        text = fenced[1]
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise NonRetryableError("the answer is no JSON") from None
    schema_dict = dict(schema)
    # An explicit registry fetches nothing. So a schema can't make this process open URLs.
    validator = validator_for(schema_dict)(schema_dict, registry=Registry())
    try:
        violation = next(validator.iter_errors(data), None)
    except Unresolvable:
        raise NonRetryableError("the schema has a reference to something outside it") from None
    if violation is not None:
        rule = "/".join(str(step) for step in violation.absolute_schema_path)
        raise NonRetryableError(f"the answer does not fit the schema at {rule}")
    return data
