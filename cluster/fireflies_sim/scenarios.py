"""Scenarios: the broadcasts of a meeting, made from a script or from a recording. The same seed gives the same broadcasts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from cluster.fireflies_sim.meeting_script import SCRIPT, ScriptTurn
from cluster.fireflies_sim.scenario_steps import Broadcast
from cluster.recordings.reader import Recording

ScenarioName = Literal["conversation", "words", "captured"]
FIRST_CHUNK_ID = 65_000
"""Id of a scenario's first chunk. Fireflies counts on from a number of this size."""
WORD_S = 0.3
"""Duration of a word, in seconds."""
TURN_PAUSE_S = 0.5
"""Seconds between two turns."""
MAX_PIECE_WORDS = 14
"""Most words of a captured chunk. A longer turn is cut into several chunks, in mid-sentence."""
GROWTH_UPDATES = (10, 14)
LATE_UPDATES = (5, 7)
"""Fewest and most updates of a captured chunk while it is spoken, and after it."""
LATE_UPDATES_S = (6.0, 10.0)
"""Shortest and longest time after a captured chunk's speech in which it is still updated, in seconds."""
RECOGNITION_S = 0.4
"""Seconds until a spoken word is recognised."""
CORRECTION_UPDATES = 3
"""Last updates of a captured chunk, in which misheard words are corrected."""
REPEAT_SHARE, CASE_SHARE, CUT_WORD_SHARE, PUNCTUATION_SHARE = 0.1, 0.25, 0.25, 0.4
"""Shares of updates: repeats, a flipped case of the first letter, a cut last word, changed punctuation."""


def make_scenario(name: ScenarioName, seed: int, script: Sequence[ScriptTurn] = SCRIPT) -> tuple[Broadcast, ...]:
    """Make the broadcasts of a scripted meeting.

    Args:
        name: `conversation` sends each turn once, `words` sends it again with each word. `captured` sends chunks as the real
            service does: about 18 updates each, four chunks at a time, misheard words that are corrected, changes of case.
        seed: seed of the random numbers of `captured`.
        script: the turns of the meeting.

    Returns:
        The broadcasts in the order of their times.
    """
    match name:
        case "conversation":
            return conversation(script)
        case "words":
            return word_by_word(script)
        case "captured":
            return captured(script, seed)


def conversation(script: Sequence[ScriptTurn] = SCRIPT) -> tuple[Broadcast, ...]:
    """Broadcast each turn once, at its end."""
    broadcasts: list[Broadcast] = []
    start = 0.0
    for number, turn in enumerate(script, FIRST_CHUNK_ID):
        end = start + len(turn.text.split()) * WORD_S
        broadcasts.append(_broadcast(end, number, turn.text, turn.speaker, start, end))
        start = end + TURN_PAUSE_S
    return tuple(broadcasts)


def word_by_word(script: Sequence[ScriptTurn] = SCRIPT) -> tuple[Broadcast, ...]:
    """Broadcast each turn again with each further word. Its chunk id stays the same."""
    broadcasts: list[Broadcast] = []
    start = 0.0
    for number, turn in enumerate(script, FIRST_CHUNK_ID):
        words = turn.text.split()
        for count in range(1, len(words) + 1):
            end = start + count * WORD_S
            broadcasts.append(_broadcast(end, number, " ".join(words[:count]), turn.speaker, start, end))
        start += len(words) * WORD_S + TURN_PAUSE_S
    return tuple(broadcasts)


def captured(script: Sequence[ScriptTurn] = SCRIPT, seed: int = 0) -> tuple[Broadcast, ...]:
    """Broadcast as the real service was seen to do.

    A chunk has about 18 updates, and four chunks are updated in turn. Until shortly before its last update, a misheard pair of
    words stays wrong. The first letter's case, the last word and its punctuation change. The last update is the exact text.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    broadcasts: list[Broadcast] = []
    number, start = FIRST_CHUNK_ID, 0.0
    for turn in script:
        for words in _cut_turn(turn.text.split()):
            broadcasts += _updates(number, turn, words, start, rng)
            number += 1
            start += len(words) * WORD_S
        start += TURN_PAUSE_S
    return tuple(sorted(broadcasts, key=lambda broadcast: broadcast.at))


def replay(recording: Recording) -> tuple[Broadcast, ...]:
    """Broadcast the events of a recording, each once, at their times."""
    return tuple(
        Broadcast(
            event.at,
            event.chunk.chunk_id,
            event.chunk.text,
            event.chunk.speaker,
            event.chunk.start,
            event.chunk.end,
        )
        for event in recording.events
    )


def final_texts(broadcasts: Sequence[Broadcast]) -> dict[str, str]:
    """Return the last text of each chunk by its id. A chunk whose last text is empty was taken back, and is left out."""
    texts = {broadcast.chunk_id: broadcast.text for broadcast in broadcasts}
    return {chunk_id: text for chunk_id, text in texts.items() if text}


def _broadcast(at: float, number: int, text: str, speaker: str, start: float, end: float) -> Broadcast:
    return Broadcast(round(at, 3), str(number), text, speaker, round(start, 3), round(end, 3))


def _cut_turn(words: Sequence[str]) -> list[Sequence[str]]:
    """Cut a turn into the fewest chunks of about the same length."""
    count = -(-len(words) // MAX_PIECE_WORDS)
    return [words[len(words) * n // count : len(words) * (n + 1) // count] for n in range(count)]


def _updates(number: int, turn: ScriptTurn, words: Sequence[str], start: float, rng: random.Random) -> list[Broadcast]:
    speech_s = len(words) * WORD_S
    growth_count, late_count = rng.randint(*GROWTH_UPDATES), rng.randint(*LATE_UPDATES)
    late_s = rng.uniform(*LATE_UPDATES_S)
    times = [
        *sorted(rng.uniform(WORD_S, speech_s) for _ in range(growth_count)),
        *sorted(rng.uniform(speech_s, speech_s + late_s) for _ in range(late_count - 1)),
        speech_s + late_s,
    ]
    updates: list[Broadcast] = []
    for index, elapsed in enumerate(times, 1):
        heard = words[: max(1, min(len(words), int(elapsed / WORD_S)))]
        if index == len(times):
            text = " ".join(words)
        elif updates and rng.random() < REPEAT_SHARE:
            updates.append(_repeat(updates[-1], start + elapsed + RECOGNITION_S))
            continue
        else:
            text = _garble(heard, len(words), rng)
            if turn.misheard and index <= len(times) - CORRECTION_UPDATES:
                text = text.replace(turn.misheard[1], turn.misheard[0])
        end = start + len(heard) * WORD_S
        updates.append(_broadcast(start + elapsed + RECOGNITION_S, number, text, turn.speaker, start, end))
    return updates


def _repeat(last: Broadcast, at: float) -> Broadcast:
    return Broadcast(round(at, 3), last.chunk_id, last.text, last.speaker_name, last.start_time, last.end_time)


def _garble(heard: Sequence[str], word_count: int, rng: random.Random) -> str:
    """Change words as a recogniser does that is not sure yet."""
    words = list(heard)
    if len(words) < word_count and rng.random() < CUT_WORD_SHARE:
        words[-1] = words[-1][: max(1, len(words[-1]) // 2)]
    elif rng.random() < PUNCTUATION_SHARE:
        words[-1] = words[-1].rstrip(".,?") + rng.choice(("", ".", "?"))
    if rng.random() < CASE_SHARE:
        words[0] = words[0][0].swapcase() + words[0][1:]
    return " ".join(words)
