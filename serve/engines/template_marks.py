"""Takes a language model's answer out of its reasoning and out of the marks of its chat template.

Servers that parse neither pass both on as text. A mark that was said itself is left alone.
"""

from __future__ import annotations

import re

_BLOCKS = (
    *((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "reasoning", "reflection", "analysis")),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
)
"""What reasoning stands between, as DeepSeek, Qwen, Seed, Magistral, Kimi, Cohere, Apertus and Gemma have it."""
_FINAL = re.compile(r"^.*<\|channel\|>\s*final\b[^<]*<\|message\|>", re.DOTALL)
_CHANNEL = re.compile(r"^\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)\b")
_FINAL_STRIPPED = re.compile(r"^.*assistantfinal", re.DOTALL)
"""The harmony format of gpt-oss, and what is left of it where the server drops its special tokens."""
_STEPS = re.compile(r"^.*<\|begin_of_solution\|>|^.*<\|START_RESPONSE\|>", re.DOTALL)

_SPECIAL = (
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜]{1,40}｜>|<\|[a-z_]{1,20}>|<[a-z_]{1,20}\|>|</?s>|<</?SYS>>|\[/?INST\]"
    r"|\[(?:BOS|EOS|EOT|EOM|END|FIN|STOP|DONE|PAD|CLS|SEP|UNK|gMASK)\]|<(?:END|EOT|STOP)>|<(?:bos|eos|pad|unk|sep|cls|mask|sop|eop)>|<(?:start|end)_of_turn>|<2[a-z]{2,3}>"
    r"|<extra_id_\d+>|<unused\d+>|>>[a-z]{2,3}<<"
)
"""Special tokens, by the forms they have in the vocabularies of most models."""
_ROLE = r"(?:assistant|model|bot|chatbot|gpt)"
_HEAD = re.compile(
    rf"^(?:\s*(?:{_SPECIAL})(?:{_ROLE}(?=\s*(?:\n|$|[<\[])))?)+\s*|^{_ROLE}[ \t]*\r?\n\s*", re.IGNORECASE
)
_MARK = re.compile(_SPECIAL)
_TAIL = re.compile(rf"(?:\s*(?:{_SPECIAL}))+\s*$")
_END = re.compile(r"/s>|/INST|e(?:nd|o[smtp])|return|turn\|>", re.IGNORECASE)
"""What is in a mark with which a turn ends."""
_NEXT_TURN = re.compile(rf"\s*(?:{_SPECIAL}|(?:user|human|system|{_ROLE})\b)", re.IGNORECASE)
_ROLE_LABEL = re.compile(rf"^({_ROLE}|AI)\s*[:：]\s*", re.IGNORECASE)
_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
"""Bytes of a character that a tokenizer of SentencePiece's did not put together."""


def is_reasoning(text: str) -> bool:
    """Whether an answer, as far as it came, is reasoning that has not come to its end."""
    begins = text.lstrip()
    for opened, closed in _BLOCKS:
        if begins and (opened.startswith(begins) or begins.startswith(opened)):
            return closed not in begins
    return _CHANNEL.match(text) is not None and _FINAL.match(text) is None


def without_reasoning(text: str, said: str) -> str:
    """An answer without the reasoning before it; empty where all of it is reasoning.

    Args:
        text: the whole answer.
        said: what was to be translated.
    """
    if found := _FINAL.match(text):
        return text[found.end() :]
    if _CHANNEL.match(text):
        return ""
    if (found := _FINAL_STRIPPED.match(text)) and "assistantfinal" not in said:
        return text[found.end() :]
    for opened, closed in _BLOCKS:
        if opened in said or closed in said:
            continue
        # The template may have opened the block itself.
        _, ended, after = text.rpartition(closed)
        if ended:
            text = after
        elif text.lstrip().startswith(opened):
            return ""
    return _STEPS.sub("", text)


def without_marks(text: str, said: str) -> str:
    """An answer without the marks before and behind it, and without another turn that begins behind it.

    Args:
        text: an answer without reasoning.
        said: what was to be translated.
    """
    if not _BYTES.search(said):
        text = _BYTES.sub(_decoded, text)
    if not has_marks(said):
        text = _TAIL.sub("", _HEAD.sub("", text.strip()))
        found = _MARK.search(text)
        if found and _END.search(found[0]) and _NEXT_TURN.match(text, found.end()):
            text = text[: found.start()]
    return text.strip()


def without_role(text: str, said: str) -> str:
    """An answer without the word for who speaks, unless it was said."""
    found = _ROLE_LABEL.match(text)
    return text[found.end() :] if found and found[1].casefold() not in said.casefold() else text


def has_marks(text: str) -> bool:
    """Whether a text holds a mark of a chat template."""
    return _MARK.search(text) is not None


def _decoded(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(re.sub(r"<0x|>", "", match[0])).decode()
    except UnicodeDecodeError:
        return match[0]
