"""Takes JSON out of an answer, and lets through only what fits its schema."""

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
"""What models that nothing constrains like to put around JSON."""


def parse_structured(generation: Generation, schema: Mapping[str, Any]) -> Any:
    """The JSON of an answer.

    Raises:
        NonRetryableError: it was cut off, is no JSON, or does not fit the schema. The message quotes nothing of the answer.
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
    # A registry that is given fetches nothing: who writes a schema can't have this process open addresses.
    validator = validator_for(schema_dict)(schema_dict, registry=Registry())
    try:
        violation = next(validator.iter_errors(data), None)
    except Unresolvable:
        raise NonRetryableError("the schema refers to something that is not in it") from None
    if violation is not None:
        rule = "/".join(str(step) for step in violation.absolute_schema_path)
        raise NonRetryableError(f"the answer does not fit the schema at {rule}")
    return data
