"""A model's text, cut into blocks: headings, paragraphs and list items as plain text.

Models write Markdown. A file that is opened in a viewer must load nothing from other servers, as an image would, and a fence
that is never closed must not hide what follows. So the text is parsed, and each format writes the blocks by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of text on one line.

    Attributes:
        kind: what it is.
        text: its text, without markup.
        depth: how many lists an item is nested in, from 1; 0 for other blocks.
    """

    kind: Literal["heading", "paragraph", "item"]
    text: str
    depth: int = 0


def parse_model_text(text: str) -> tuple[TextBlock, ...]:
    """Cut a text in Markdown into blocks.

    Images and links become their text and address, HTML stays text, and code becomes a paragraph for each line.
    """
    blocks: list[TextBlock] = []
    depth, in_heading, item_starts = 0, False, False
    for token in _parser().parse(text):
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                depth += 1
            case "bullet_list_close" | "ordered_list_close":
                depth -= 1
            case "list_item_open":
                item_starts = True
            case "heading_open" | "heading_close":
                in_heading = token.nesting == 1
            case "inline":
                kind = "item" if depth else "heading" if in_heading else "paragraph"
                # A second paragraph of an item continues the item.
                if kind == "item" and not item_starts and blocks:
                    blocks[-1] = TextBlock("item", f"{blocks[-1].text} {_plain_text(token)}", blocks[-1].depth)
                else:
                    blocks.append(TextBlock(kind, _plain_text(token), depth))
                item_starts = False
            case "fence" | "code_block":
                blocks += [TextBlock("paragraph", line.strip()) for line in token.content.splitlines() if line.strip()]
            case _:
                pass
    return tuple(block for block in blocks if block.text)


def _plain_text(token: Token) -> str:
    parts: list[str] = []
    addresses: list[str] = []
    for child in token.children or ():
        match child.type:
            case "softbreak" | "hardbreak":
                parts.append(" ")
            case "link_open":
                addresses.append(str(child.attrs.get("href", "")))
            case "link_close":
                parts.append(f" ({addresses.pop()})")
            case "image":
                parts.append(f"{child.content} ({child.attrs.get('src', '')})")
            case _:
                parts.append(child.content)
    return " ".join("".join(parts).split())


@cache
def _parser() -> MarkdownIt:
    # Only exports need it: each process would import it otherwise.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False})
