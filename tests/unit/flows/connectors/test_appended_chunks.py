"""The chunks that a session appended: a service that starts over repeats earlier states, which change nothing in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flows.connectors.fireflies.appended_chunks import OPEN_MS, AppendedChunks
from operators.entries import Chunk

WORDS = st.sampled_from(["we", "We", "have", "recorded", "38", "of", "Of", "the", "stories."])
TENTHS = st.integers(1, 9)


@st.composite
def revised_chunks(draw: st.DrawFn, chunk_id: str) -> list[Chunk]:
    """Draw the states of a chunk: it grows, its words change, and its last state may end before the one before it."""
    start = draw(st.integers(0, 5)) * 1.0
    growth = draw(st.lists(TENTHS, min_size=1, max_size=5))
    ends = [start + 0.1 + sum(growth[:k]) / 10 for k in range(len(growth) + 1)]
    if draw(st.booleans()):
        ends.append(draw(st.sampled_from(ends[1:])))
    texts = [" ".join(draw(st.lists(WORDS, min_size=1, max_size=4))) for _ in ends]
    return [
        Chunk(chunk_id=chunk_id, speaker="Ann", text=text, start=start, end=end)
        for text, end in zip(texts, ends, strict=True)
    ]


@st.composite
def meetings(draw: st.DrawFn) -> list[Chunk]:
    """Draw the messages of a meeting: the states of three chunks, each chunk's in its order."""
    waiting = [draw(revised_chunks(chunk_id)) for chunk_id in "abc"]
    messages: list[Chunk] = []
    while waiting := [states for states in waiting if states]:
        messages.append(draw(st.sampled_from(waiting)).pop(0))
    return messages


def receive(chunks: AppendedChunks, messages: list[Chunk], at_ms: int) -> list[Chunk]:
    """Receive messages over a new connection, one by one. Returns the appended chunks."""
    chunks.begin_connection()
    appended: list[Chunk] = []
    for message in messages:
        changes, _ = chunks.changes_by_messages([message], at_ms)
        chunks.remember(changes)
        appended += [change.chunk for change in changes]
    return appended


@given(meetings(), st.lists(st.integers(0, 20), max_size=3))
def test_a_service_that_starts_over_leaves_the_last_state_of_each_chunk(messages: list[Chunk], cuts: list[int]) -> None:
    chunks, latest = AppendedChunks(), dict[str, Chunk]()
    for cut in cuts:
        latest |= {chunk.chunk_id: chunk for chunk in receive(chunks, messages[:cut], 1_000)}
    latest |= {chunk.chunk_id: chunk for chunk in receive(chunks, messages, 2_000)}
    assert latest == {message.chunk_id: message for message in messages}


@given(meetings())
def test_a_service_that_starts_over_changes_no_closed_chunk(messages: list[Chunk]) -> None:
    chunks = AppendedChunks()
    receive(chunks, messages, 1_000)
    assert receive(chunks, messages, 1_001 + OPEN_MS) == []


def test_a_correction_that_ends_earlier_is_accepted_after_a_reconnect() -> None:
    chunks = AppendedChunks()
    states = [
        Chunk(chunk_id="a", speaker="Ann", text=text, start=0.0, end=end)
        for text, end in (("38", 1.0), ("38 Of the 42", 3.5), ("38 of the 42", 3.4))
    ]
    receive(chunks, states[:2], 1_000)
    assert receive(chunks, states, 2_000) == states[2:]
    assert receive(chunks, states, 3_000) == []
