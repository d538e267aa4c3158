"""The script of the built-in meeting: three people plan the move of a library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScriptTurn:
    """The speech of one speaker in one turn.

    Attributes:
        speaker: the speaker's name.
        text: the words.
        misheard: a wrong pair of words that a recogniser hears at first, and the pair of `text` that it stands for.
    """

    speaker: str
    text: str
    misheard: tuple[str, str] | None = None


SCRIPT = (
    ScriptTurn("Alice", "Good morning, everyone. Let's begin with the date of the move."),
    ScriptTurn("Bob", "The new building is ready on the fourth of May, so we could move a week later."),
    ScriptTurn(
        "Alice", "That leaves us five weeks. Carol, how many books are in the main hall?", ("mean hole", "main hall")
    ),
    ScriptTurn(
        "Carol",
        "We counted forty thousand in the main hall, and about six thousand in the basement. "
        "The basement is the harder part, because the lift is too small for the shelves.",
    ),
    ScriptTurn("Bob", "Could we rent an outside lift for two days?"),
    ScriptTurn("Carol", "Yes. I asked two companies, and both have one in May.", ("too companions", "two companies")),
    ScriptTurn(
        "Alice",
        "Good. Please send me both offers today. I will compare the prices, "
        "and I'll ask the town whether it pays a part of the rent.",
    ),
    ScriptTurn("Bob", "What about the reading room? It must stay open until the last day."),
    ScriptTurn("Carol", "We can keep the reading room open if we move it last.", ("reeding groom", "reading room")),
    ScriptTurn(
        "Alice",
        "Then that's decided: the basement first, then the main hall, and the reading room at the end. "
        "Bob will write the plan for the volunteers, and Carol will order three hundred boxes.",
    ),
    ScriptTurn("Bob", "How many volunteers do we expect?"),
    ScriptTurn("Alice", "About twenty-five. Last year there were thirty, but some of them have moved away."),
    ScriptTurn("Carol", "I will label the shelves on Thursday, so nobody has to search for a place."),
    ScriptTurn("Alice", "Thank you both. We meet again next Tuesday at ten."),
)
