"""Templates of insights: prompts with allow-listed names, and the defaults in `data/templates.yaml`.

A prompt is a `string.Template`, which can name values and run nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError
from pydantic.types import StringConstraints

from operators.characters import require_storable
from operators.errors import InvalidInputError
from operators.fields import StrictModel, require_non_blank, to_invalid_input_error
from operators.json_values import JsonObject

TEMPLATE_VARIABLES = ("transcript", "speakers", "duration", "language", "instructions")
"""The names that a prompt may have."""
AUTO_NOTE = "auto_note"
"""The name of the template of running notes."""
MAX_PROMPT_CHARS = 8_000
"""Maximum length of a prompt, in characters."""
MAX_LISTED_SPEAKERS = 20
"""Number of speakers that a prompt names."""
MAX_NAME_CHARS = 60
"""Number of characters of a speaker's name that a prompt has."""

OutputFormat = Literal["markdown", "action_items", "decisions"]
"""What the model answers: text, or rows that name the sentences they rest on."""
TemplateName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]


def _check_prompt(prompt: str) -> str:
    template = Template(prompt)
    if not template.is_valid():
        raise ValueError("has a `$` without a name; write `$$` for a dollar sign")
    for name in template.get_identifiers():
        if name not in TEMPLATE_VARIABLES:
            allowed = ", ".join(f"${each}" for each in TEMPLATE_VARIABLES)
            raise ValueError(f"must not name ${name}; the allowed names are {allowed}")
    return prompt


_Prompt = Annotated[
    str,
    Field(max_length=MAX_PROMPT_CHARS),
    AfterValidator(require_storable),
    AfterValidator(_check_prompt),
]


class TemplateContent(StrictModel):
    """What a user may change of a template."""

    description: Annotated[str, Field(max_length=500), AfterValidator(require_storable)] = ""
    category: Annotated[str, Field(max_length=60), AfterValidator(require_storable)] = ""
    system_prompt: _Prompt = ""
    prompt_template: Annotated[_Prompt, AfterValidator(require_non_blank)]
    expected_output_format: OutputFormat = "markdown"
    default_temperature: float = Field(default=0.3, ge=0, le=2)
    default_max_tokens: int = Field(default=1024, ge=16, le=8192)
    is_active: bool = True
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class InsightTemplate(TemplateContent):
    """A template. `version` counts its changes; the first is 1. `is_builtin` says whether a default has this name."""

    name: TemplateName
    version: int = 1
    is_builtin: bool = False


class TemplateFacts(StrictModel):
    """The values of a prompt's names.

    Attributes:
        speakers: names of the speakers, in the order of their first sentences.
        duration_s: duration of the speech, in seconds.
        language: name of the answer's language, in English.
        instructions: what the user wants besides; may be empty.
    """

    speakers: tuple[str, ...]
    duration_s: float
    language: str
    instructions: str = ""


@cache
def default_templates() -> Mapping[str, InsightTemplate]:
    """Return the default templates by name, in the order of the file.

    Raises:
        InvalidInputError: the file has an invalid template.
    """
    stored = yaml.safe_load(files("operators.insights").joinpath("data", "templates.yaml").read_text("utf-8"))
    return {name: parse_template(name, content, is_builtin=True) for name, content in stored.items()}


def parse_template(
    name: str, content: Mapping[str, Any], *, version: int = 1, is_builtin: bool = False
) -> InsightTemplate:
    """Parse a template.

    Args:
        name: its name.
        content: the fields of a `TemplateContent`.
        version: its version.
        is_builtin: whether a default has this name.

    Raises:
        InvalidInputError: a field is invalid.
    """
    try:
        return InsightTemplate(name=name, version=version, is_builtin=is_builtin, **content)
    except ValidationError as error:
        raise to_invalid_input_error(error) from None


def render_prompts(template: TemplateContent, facts: TemplateFacts) -> tuple[str, str]:
    """Return the system prompt and the task, with the values of their names.

    `$transcript` becomes a reference, because the transcript stands before the task. Values can't name others. Instructions that
    no prompt names follow the task.
    """
    values = {
        "transcript": "the transcript",
        "speakers": _speaker_list(facts.speakers),
        "duration": format_duration(facts.duration_s),
        "language": facts.language,
        "instructions": facts.instructions,
    }
    system, task = (
        Template(prompt).substitute(values) for prompt in (template.system_prompt, template.prompt_template)
    )
    names = {*Template(template.system_prompt).get_identifiers(), *Template(template.prompt_template).get_identifiers()}
    if "instructions" not in names:
        task = f"{task}\n{facts.instructions}"
    return _tidy(system), _tidy(task)


def format_duration(seconds: float) -> str:
    """Return a duration in words: `45 seconds`, `12 minutes`, `1 hour 5 minutes`."""
    minutes = round(seconds / 60)
    if minutes == 0:
        return _count(round(seconds), "second")
    hours, minutes = divmod(minutes, 60)
    parts = [_count(number, noun) for number, noun in ((hours, "hour"), (minutes, "minute")) if number]
    return " ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _speaker_list(speakers: Sequence[str]) -> str:
    if not speakers:
        return "nobody"
    # Quoted and short: a participant chooses the name, and it stands outside the transcript.
    named = list(dict.fromkeys(f'"{" ".join(name.split())[:MAX_NAME_CHARS]}"' for name in speakers))
    more = len(named) - MAX_LISTED_SPEAKERS
    return ", ".join(named[:MAX_LISTED_SPEAKERS]) + (f" and {_count(more, 'other')}" if more > 0 else "")


def _tidy(text: str) -> str:
    """Remove the white space that empty values leave."""
    return re.sub(r"[ \t]+(?=\n|$)", "", text).strip()


def require_template(templates: Mapping[str, InsightTemplate], name: str, field: str) -> InsightTemplate:
    """Return the active template with a name.

    Args:
        templates: the templates by name.
        name: the name.
        field: the request's field that has the name.

    Raises:
        InvalidInputError: there is none, or it is switched off.
    """
    template = templates.get(name)
    if template is None or not template.is_active:
        known = ", ".join(name for name, each in templates.items() if each.is_active)
        raise InvalidInputError(field, f"must be the name of an active template: {known}")
    return template
