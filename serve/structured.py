"""Takes JSON out of an answer, and lets through only what fits its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from serve.engines.engine import Generation, Unanswerable

_FENCE = re.compile(r"^```(?:json)?\s*\n(.*)\n\s*```$", re.DOTALL)
"""What models that nothing constrains like to put around JSON."""


def structured(answer: Generation, schema: Mapping[str, Any]) -> Any:
    """The JSON of an answer.

    Raises:
        Unanswerable: it was cut off, is no JSON, or does not fit the schema. The message quotes nothing of the answer.
    """
    if answer.finish == "length":
        raise Unanswerable("the answer did not come to its end in the tokens it may have")
    text = answer.text.strip()
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Unanswerable("the answer is no JSON") from None
    plain = dict(schema)
    # A registry that is given fetches nothing: who writes a schema can't have this process open addresses.
    validator = validator_for(plain)(plain, registry=Registry())
    try:
        wrong = next(validator.iter_errors(data), None)
    except Unresolvable:
        raise Unanswerable("the schema refers to something that is not in it") from None
    if wrong is not None:
        rule = "/".join(str(step) for step in wrong.absolute_schema_path)
        raise Unanswerable(f"the answer does not fit the schema at {rule}")
    return data
