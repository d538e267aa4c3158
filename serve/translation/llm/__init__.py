"""A language model as a translator: prompts, and the translation taken out of the model's output.

- `translator`: `LlmTranslator`, a translation engine over any prompt engine. `prompts`: translation and repair prompts.
- `output_cleanup` removes wrappers: chat template tokens, markup, labels, romanisation.
- `echo_detection`, `refusals`, `degenerate_output`: output that is no translation.

Engines that translate by themselves, such as Firefox, don't use it.
"""

__all__ = [
    "prompts",
    "translator",
]
