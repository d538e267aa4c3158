"""Removes reasoning and chat template tokens from a language model's answer.

Some servers parse neither and pass both on as text. A token that is in the source text stays in the answer.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

_REASONING_TAGS = (
    *(
        "think",
        "thinking",
        "thought",
        "thoughts",
        "reasoning",
        "reflection",
        "analysis",
        "scratchpad",
        "plan",
        "planning",
    ),
)
_REASONING_BLOCKS = (
    *((f"<{name}>", f"</{name}>") for name in _REASONING_TAGS),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
)
"""Delimiters of reasoning of DeepSeek, Qwen, Seed, Magistral, Kimi, Cohere, Apertus and Gemma. Case doesn't count."""
_SMALL_LETTERS = str.maketrans(ascii_uppercase, ascii_lowercase)
_HARMONY_FINAL = re.compile(r"^.*<\|channel\|>\s*final\b[^<]*<\|message\|>", re.DOTALL)
_HARMONY_REASONING = re.compile(r"^\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)\b")
_HARMONY_FINAL_STRIPPED = re.compile(r"^.*assistantfinal|^(?:analysis.*)?final(?=[^\W\d_a-z])", re.DOTALL)
"""The harmony format of gpt-oss, and its remains if the server drops special tokens."""
_BEFORE_SOLUTION = re.compile(r"^.*<\|begin_of_solution\|>|^.*<\|START_RESPONSE\|>", re.DOTALL)

_SPECIAL_TOKENS = (
    r"<\s?\|[^<>|\s]{1,40}\|\s?>|\[\|[^\[\]|\s]{1,40}\|\]|<｜[^<>｜]{1,40}｜>|<\|[A-Za-z_]{1,20}>|<[A-Za-z_]{1,20}\|>|</?s>|<</?SYS>>"
    r"|\[/?INST\]|\[(?:BOS|EOS|EOT|EOM|END|FIN|STOP|DONE|PAD|CLS|SEP|UNK|gMASK|START)\]|[<\[][A-Za-z]{2,12}_(?i:token|of_turn)[>\]]"
    r"|<(?:END|EOT|STOP)>|<(?i:bos|eos|eot|pad|unk|sep|cls|mask|sop|eop|im_start|im_end|endoftext)>|<2[a-z]{2,3}>"
    r"|<extra_id_\d+>|<(?:unused|reserved_?)\d+>|>>[a-z]{2,3}<<|<\|[a-z]{2,12}(?:_[a-z]{1,12}){0,3}\|?$"
)
"""Special tokens in the notations of most models' vocabularies. The last one may be cut off."""
_ROLE = r"(?:assistant|model|bot|chatbot|gpt)"
_LEADING_TOKENS = re.compile(
    rf"^(?:\s*(?:{_SPECIAL_TOKENS})(?:{_ROLE}(?=\s*(?:\n|$|[<\[])))?)+\s*|^{_ROLE}[ \t]*\r?\n\s*", re.IGNORECASE
)
_SPECIAL_TOKEN = re.compile(_SPECIAL_TOKENS)
_TRAILING_TOKENS = re.compile(rf"(?:\s*(?:{_SPECIAL_TOKENS}))+\s*$")
_END_OF_TURN = re.compile(r"/s>|/INST|e(?:nd|o[smtp])|return|turn\|>", re.IGNORECASE)
"""Part of a token that ends a turn."""
_NEXT_TURN = re.compile(rf"\s*(?:{_SPECIAL_TOKENS}|(?:user|human|system|{_ROLE})\b)", re.IGNORECASE)
_ROLE_LABEL = re.compile(rf"^({_ROLE}|AI)\s*[:：]\s*", re.IGNORECASE)
_BYTE_TOKENS = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
"""Bytes of a character that a SentencePiece tokenizer did not join."""


def is_unfinished_reasoning(text: str) -> bool:
    """Whether an answer, as far as it has arrived, is reasoning without its end."""
    stripped = _plain(text).lstrip()
    for opened, closed in _REASONING_BLOCKS:
        if stripped and (opened.startswith(stripped) or stripped.startswith(opened)):
            return closed not in stripped
    return _HARMONY_REASONING.match(text) is not None and _HARMONY_FINAL.match(text) is None


def strip_reasoning(text: str, source_text: str) -> str:
    """Remove the reasoning before an answer; the result is empty if there is nothing else.

    Args:
        text: the whole answer.
        source_text: the source text.
    """
    if match := _HARMONY_FINAL.match(text):
        return text[match.end() :]
    if _HARMONY_REASONING.match(text):
        return ""
    if (match := _HARMONY_FINAL_STRIPPED.match(text)) and not _HARMONY_FINAL_STRIPPED.match(source_text):
        return text[match.end() :]
    plain_source = _plain(source_text)
    for opened, closed in _REASONING_BLOCKS:
        if opened in plain_source or closed in plain_source:
            continue
        # The template may have opened the block itself.
        end = _plain(text).rfind(closed)
        if end >= 0:
            text = text[end + len(closed) :]
        elif _plain(text).lstrip().startswith(opened):
            return ""
    return _BEFORE_SOLUTION.sub("", text)


def strip_special_tokens(text: str, source_text: str) -> str:
    """Remove special tokens around an answer, and another turn after it.

    Args:
        text: an answer without reasoning.
        source_text: the source text.
    """
    if not _BYTE_TOKENS.search(source_text):
        text = _BYTE_TOKENS.sub(_decode_bytes, text)
    if not has_special_tokens(source_text):
        text = _TRAILING_TOKENS.sub("", _LEADING_TOKENS.sub("", text.strip()))
        match = _SPECIAL_TOKEN.search(text)
        if match and _END_OF_TURN.search(match[0]) and _NEXT_TURN.match(text, match.end()):
            text = text[: match.start()]
    return text.strip()


def strip_role(text: str, source_text: str) -> str:
    """Remove a role label before an answer, unless the source text contains the word."""
    match = _ROLE_LABEL.match(text)
    return text[match.end() :] if match and match[1].casefold() not in source_text.casefold() else text


def has_special_tokens(text: str) -> bool:
    """Whether a text contains a special token of a chat template."""
    return _SPECIAL_TOKEN.search(text) is not None


def _plain(text: str) -> str:
    """Return a text of the same length, in small ASCII letters as far as it has these."""
    return text.translate(_SMALL_LETTERS)


def _decode_bytes(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(re.sub(r"<0x|>", "", match[0])).decode()
    except UnicodeDecodeError:
        return match[0]
