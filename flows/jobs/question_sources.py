"""The sources of an answer: the sentences of one meeting or of all, and those of them that the model reads.

A transcript that fits the model's window is read as a whole. Otherwise the sentences that are nearest to the question by their
words and by their meaning are read, and the newest ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from operators.chat.claims import SourceSentence
from operators.chat.question_request import line_tokens
from operators.chat.sentence_ranking import (
    combine_rankings,
    rank_by_meaning,
    rank_windows,
    search_words,
    select_sentences,
)
from operators.stream import Sentence
from storage.chat.due_questions import (
    DueQuestion,
    TeamSentence,
    has_sentence,
    read_team_sentences,
    search_team,
)
from storage.postgres import transcript_queries
from storage.retrieval.window_search import read_distances, search_team_windows

EmbedQuestion = Callable[[str], Awaitable[tuple[str, Sequence[float]] | None]]
"""Returns the model and the vector of a question; None if no engine can embed it now."""


@dataclass(frozen=True, slots=True)
class QuestionSources:
    """What a question can be answered from.

    Attributes:
        sentences: the sentences in reading order: all of the question's meeting, or what the search in all meetings found.
        by_meaning: the first sentences of the windows that are nearest to the question, nearest first. It is empty if the
            transcript fits the model's window, or no engine embeds.
        query: what the search looked for.
        is_empty: whether nothing was said yet.
    """

    sentences: Sequence[TeamSentence]
    by_meaning: Sequence[tuple[UUID, str]]
    query: str
    is_empty: bool

    def select(self, room: int) -> list[SourceSentence]:
        """Return the sentences that the model reads, in reading order. For a long transcript this takes a while.

        Args:
            room: the tokens that they may have, by estimate.
        """
        sources = [_to_source(each) for each in self.sentences]
        sizes = list(map(line_tokens, sources))
        if sum(sizes) <= room:
            return sources
        sentences = [each.sentence for each in self.sentences]
        indexes = {(each.meeting_id, each.sentence.id): index for index, each in enumerate(self.sentences)}
        by_meaning = [indexes[key] for key in self.by_meaning if key in indexes]
        ranking = combine_rankings(rank_windows(sentences, self.query), by_meaning)
        return [sources[index] for index in select_sentences(sizes, ranking, room)]


async def find_sources(
    database: AsyncEngine, embed: EmbedQuestion, question: DueQuestion, query: str, room: int
) -> QuestionSources:
    """Find what a question can be answered from.

    Args:
        database: the database.
        embed: embeds the question.
        question: the question.
        query: its text for the search.
        room: the tokens that the sentences may have, by estimate.

    Raises:
        InvalidInputError: the search in all meetings took too long.
    """
    if question.meeting_id is None:
        return await _search_all_meetings(database, embed, question, query)
    meeting_id, team_id = question.meeting_id, question.team_id
    async with database.connect() as conn:
        transcript = await transcript_queries.read_sentences(conn, team_id, meeting_id)
    sentences = [TeamSentence(meeting_id, "", each) for each in _in_scope(transcript, question)]
    by_meaning: list[tuple[UUID, str]] = []
    # No connection is held while the question is embedded.
    if await asyncio.to_thread(_count_tokens, sentences) > room and (embedded := await embed(query)):
        async with database.connect() as conn:
            distances = await read_distances(conn, meeting_id, *embedded)
        ids = [each.sentence.id for each in sentences]
        by_meaning = [(meeting_id, ids[start]) for start in await asyncio.to_thread(rank_by_meaning, ids, distances)]
    return QuestionSources(sentences, by_meaning, query, is_empty=not sentences)


async def _search_all_meetings(
    database: AsyncEngine, embed: EmbedQuestion, question: DueQuestion, query: str
) -> QuestionSources:
    team_id, embedded = question.team_id, await embed(query)
    async with database.connect() as conn:
        windows = await search_team_windows(conn, team_id, *embedded) if embedded else []
        keys = {(meeting_id, sentence_id): None for meeting_id, ids in windows for sentence_id in ids}
        near = await read_team_sentences(conn, team_id, keys)
        matching = await search_team(conn, team_id, search_words(query))
        found = {(each.meeting_id, each.sentence.id): each for each in (*near, *matching)}
        is_empty = not found and not await has_sentence(conn, team_id)
    sentences = sorted(found.values(), key=lambda each: (each.meeting_id, each.sentence.start))
    return QuestionSources(sentences, [(meeting_id, ids[0]) for meeting_id, ids in windows], query, is_empty)


def _in_scope(sentences: Sequence[Sentence], question: DueQuestion) -> list[Sentence]:
    """Return the sentences that a question is about."""
    if question.sentence_ids:
        selected = set(question.sentence_ids)
        return [sentence for sentence in sentences if sentence.id in selected]
    if question.last_minutes is not None and sentences:
        begin = max(sentence.end for sentence in sentences) - question.last_minutes * 60
        return [sentence for sentence in sentences if sentence.end > begin]
    return list(sentences)


def _count_tokens(sentences: Sequence[TeamSentence]) -> int:
    return sum(line_tokens(_to_source(each)) for each in sentences)


def _to_source(each: TeamSentence) -> SourceSentence:
    sentence = each.sentence
    return SourceSentence(str(each.meeting_id), sentence.id, sentence.speaker, sentence.text, each.meeting_title)
