"""Analytics and summary of a transcript, computed from its words. The real service has models for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from cluster.fireflies_sim.meeting import SimulatedCaption

KEYWORD_COUNT, MIN_KEYWORD_CHARS = 5, 5
TASK_WORDS, FILLER_WORDS = ("will", "i'll", "please"), ("um", "uh", "hmm", "er")
"""Words by which a sentence counts as a task, and a word as a filler."""
_METRIC = re.compile(r"\d")
_DATE = re.compile(r"\b(?:today|tomorrow|may|(?:mon|tues|wednes|thurs|fri|satur|sun)day|week|year)\b", re.IGNORECASE)


def speaker_names(captions: Sequence[SimulatedCaption]) -> list[str]:
    """Return the speakers in the order of their first captions. A speaker's position is the speaker's id."""
    return list(dict.fromkeys(caption.speaker_name for caption in captions))


def is_question(caption: SimulatedCaption) -> bool:
    """Whether a caption asks something."""
    return "?" in caption.text


def is_task(caption: SimulatedCaption) -> bool:
    """Whether a caption names a task."""
    return not is_question(caption) and any(word in _words(caption.text) for word in TASK_WORDS)


def mark_content(caption: SimulatedCaption) -> dict[str, str | None]:
    """Return the `ai_filters` of a caption: its text under each kind of content that it has."""

    def text_if(has_kind: bool) -> str | None:
        return caption.text if has_kind else None

    return {
        "task": text_if(is_task(caption)),
        "pricing": None,
        "metric": text_if(bool(_METRIC.search(caption.text))),
        "question": text_if(is_question(caption)),
        "date_and_time": text_if(bool(_DATE.search(caption.text))),
        "text_cleanup": caption.text,
        "sentiment": "neutral",
    }


def analyze(captions: Sequence[SimulatedCaption]) -> dict[str, Any]:
    """Return the `analytics` of a transcript: sentiments, counts of content, and figures of each speaker."""
    total_s = max((caption.end_time for caption in captions), default=0.0)
    return {
        "sentiments": {"negative_pct": 0.0, "neutral_pct": 100.0, "positive_pct": 0.0},
        "categories": {
            "questions": sum(map(is_question, captions)),
            "date_times": sum(bool(_DATE.search(caption.text)) for caption in captions),
            "metrics": sum(bool(_METRIC.search(caption.text)) for caption in captions),
            "tasks": sum(map(is_task, captions)),
        },
        "speakers": [
            _analyze_speaker(speaker_id, name, captions, total_s)
            for speaker_id, name in enumerate(speaker_names(captions))
        ],
    }


def summarize(captions: Sequence[SimulatedCaption]) -> dict[str, Any]:
    """Return the `summary` of a transcript. It quotes the first sentence and the tasks, and lists frequent words."""
    names = speaker_names(captions)
    first_text = captions[0].text if captions else ""
    people = f"{', '.join(names)} spoke." if names else "Nothing was said."
    tasks = [f"{caption.speaker_name}: {caption.text}" for caption in captions if is_task(caption)]
    keywords = _keywords(captions)
    return {
        "keywords": keywords,
        "action_items": "\n".join(tasks),
        "outline": "\n".join(
            f"{int(caption.start_time)} s: {caption.text}" for caption in captions if is_question(caption)
        ),
        "shorthand_bullet": "\n".join(f"- {caption.text}" for caption in captions if is_question(caption)),
        "overview": f"{people} The meeting began: {first_text}",
        "notes": "\n".join(tasks),
        "bullet_gist": f"- {people}",
        "gist": people,
        "short_summary": f"{people} {first_text}".strip(),
        "short_overview": people,
        "meeting_type": "Team meeting",
        "topics_discussed": keywords,
        "transcript_chapters": [first_text] if first_text else [],
        "extended_sections": [],
    }


def _analyze_speaker(
    speaker_id: int, name: str, captions: Sequence[SimulatedCaption], total_s: float
) -> dict[str, Any]:
    monologues = [
        list(group) for speaker, group in groupby(captions, lambda each: each.speaker_name) if speaker == name
    ]
    own = [caption for group in monologues for caption in group]
    words = [word for caption in own for word in _words(caption.text)]
    duration_s = sum(caption.end_time - caption.start_time for caption in own)
    return {
        "speaker_id": speaker_id,
        "name": name,
        "duration": round(duration_s, 3),
        "word_count": len(words),
        "longest_monologue": round(max(group[-1].end_time - group[0].start_time for group in monologues), 3),
        "monologues_count": len(monologues),
        "filler_words": sum(word in FILLER_WORDS for word in words),
        "questions": sum(map(is_question, own)),
        "duration_pct": round(100 * duration_s / total_s, 1) if total_s else 0.0,
        "words_per_minute": round(60 * len(words) / duration_s, 1) if duration_s else 0.0,
    }


def _keywords(captions: Sequence[SimulatedCaption]) -> list[str]:
    words = (word for caption in captions for word in _words(caption.text))
    counts = Counter(word for word in words if len(word) >= MIN_KEYWORD_CHARS)
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KEYWORD_COUNT]]


def _words(text: str) -> list[str]:
    return [word.strip(".,?!:;\"'()").casefold() for word in text.split()]
