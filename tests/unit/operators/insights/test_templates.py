"""Tests operators/insights/templates.py."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import InvalidInputError
from operators.insights.templates import (
    AUTO_NOTE,
    TEMPLATE_VARIABLES,
    TemplateFacts,
    default_templates,
    format_duration,
    parse_template,
    render_prompts,
    require_template,
)

FACTS = TemplateFacts(speakers=("Ann", "Bob", "Ann"), duration_s=725, language="German", instructions="Be brief.")


def test_the_defaults_are_those_that_older_clients_know() -> None:
    values = {name: (each.default_temperature, each.default_max_tokens) for name, each in default_templates().items()}
    assert values == {
        "meeting_summary": (0.3, 1024),
        "action_items": (0.2, 1024),
        "key_decisions": (0.2, 1024),
        "speaker_analysis": (0.4, 1500),
        "follow_up_questions": (0.4, 1024),
        AUTO_NOTE: (0.3, 256),
    }
    assert all(each.is_builtin and each.is_active and each.version == 1 for each in default_templates().values())


@pytest.mark.parametrize("name", default_templates())
def test_every_default_is_rendered(name: str) -> None:
    system, task = render_prompts(default_templates()[name], FACTS)
    assert system
    assert task.endswith("Be brief.")
    assert "$" not in system + task


def test_a_prompt_has_the_values_of_its_names() -> None:
    template = parse_template(
        "mine", {"prompt_template": "$transcript, ${speakers}, $duration, $language, $instructions, $$5"}
    )
    assert render_prompts(template, FACTS) == ("", 'the transcript, "Ann", "Bob", 12 minutes, German, Be brief., $5')


def test_a_value_names_no_other() -> None:
    template = parse_template("mine", {"prompt_template": "$instructions"})
    facts = FACTS.model_copy(update={"instructions": "$speakers ${language} $nothing $$"})
    assert render_prompts(template, facts)[1] == "$speakers ${language} $nothing $$"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"prompt_template": "List $secrets."},
            r"prompt_template: must not name \$secrets; the allowed names are \$tran",
        ),
        ({"prompt_template": "Fine.", "system_prompt": "$os"}, r"system_prompt: must not name \$os"),
        ({"prompt_template": "It costs $5."}, r"prompt_template: has a `\$` without a name"),
        ({"prompt_template": "${transcript.__class__}"}, r"prompt_template: has a `\$` without a name"),
        ({"prompt_template": " "}, "prompt_template: "),
        ({"prompt_template": "a\x00"}, "prompt_template: "),
        ({"prompt_template": "x" * 8_001}, "prompt_template: "),
        ({}, "prompt_template: "),
        ({"prompt_template": "a", "default_temperature": 3}, "default_temperature: "),
        ({"prompt_template": "a", "default_max_tokens": 0}, "default_max_tokens: "),
        ({"prompt_template": "a", "expected_output_format": "xml"}, "expected_output_format: "),
        ({"prompt_template": "a", "other": 1}, "other: "),
    ],
)
def test_an_invalid_template_names_its_field(content: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{words}"):
        parse_template("mine", content)


@pytest.mark.parametrize("name", ["", "Mine", "1", "a b", "a" * 61])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^name: "):
        parse_template(name, {"prompt_template": "a"})


@given(st.text(max_size=200))
def test_any_prompt_is_refused_or_rendered(prompt: str) -> None:
    template = None
    with suppress(InvalidInputError):
        template = parse_template("mine", {"prompt_template": prompt})
    if template is not None:
        render_prompts(template, FACTS)


@given(st.sampled_from(TEMPLATE_VARIABLES), st.text(max_size=100))
def test_any_value_is_rendered(name: str, value: str) -> None:
    template = parse_template("mine", {"prompt_template": f"x ${{{name}}} x"})
    facts = TemplateFacts(speakers=(value,), duration_s=0, language=value, instructions=value)
    assert render_prompts(template, facts)[1].startswith("x ")


def test_instructions_that_no_prompt_names_follow_the_task() -> None:
    assert render_prompts(parse_template("mine", {"prompt_template": "Sum up."}), FACTS)[1] == "Sum up.\nBe brief."


def test_many_speakers_are_counted() -> None:
    facts = FACTS.model_copy(update={"speakers": tuple(f"P{n}" for n in range(25)), "instructions": ""})
    template = parse_template("mine", {"prompt_template": "$speakers"})
    assert render_prompts(template, facts)[1].endswith('"P19" and 5 others')
    assert render_prompts(template, facts.model_copy(update={"speakers": ()}))[1] == "nobody"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (29, "29 seconds"),
        (60, "1 minute"),
        (3600, "1 hour"),
        (3900, "1 hour 5 minutes"),
        (7260, "2 hours 1 minute"),
    ],
)
def test_duration_in_words(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


def test_only_an_active_template_is_used() -> None:
    templates = {
        "on": parse_template("on", {"prompt_template": "a"}),
        "off": parse_template("off", {"prompt_template": "a", "is_active": False}),
    }
    assert require_template(templates, "on", "templates.0").name == "on"
    for name in ("off", "none"):
        with pytest.raises(InvalidInputError, match=r"^templates\.0: must be the name of an active template: on$"):
            require_template(templates, name, "templates.0")
