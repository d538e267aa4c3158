"""The script of the built-in meeting: three people plan the move of a library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What a speaker says in one turn.

    Attributes:
        speaker: the speaker's name.
        text: the words.
        misheard: a wrong pair of words that a recogniser hears at first, and the pair of `text` that it stands for.
    """

    speaker: str
    text: str
    misheard: tuple[str, str] | None = None


SCRIPT = (
    Line("Alice", "Good morning, everyone. Let's begin with the date of the move."),
    Line("Bob", "The new building is ready on the fourth of May, so we could move a week later."),
    Line("Alice", "That leaves us five weeks. Carol, how many books are in the main hall?", ("mean hole", "main hall")),
    Line(
        "Carol",
        "We counted forty thousand in the main hall, and about six thousand in the basement. "
        "The basement is the harder part, because the lift is too small for the shelves.",
    ),
    Line("Bob", "Could we rent an outside lift for two days?"),
    Line("Carol", "Yes. I asked two companies, and both have one in May.", ("too companions", "two companies")),
    Line(
        "Alice",
        "Good. Please send me both offers today. I will compare the prices, "
        "and I'll ask the town whether it pays a part of the rent.",
    ),
    Line("Bob", "What about the reading room? It must stay open until the last day."),
    Line("Carol", "We can keep the reading room open if we move it last.", ("reeding groom", "reading room")),
    Line(
        "Alice",
        "Then that's decided: the basement first, then the main hall, and the reading room at the end. "
        "Bob will write the plan for the volunteers, and Carol will order three hundred boxes.",
    ),
    Line("Bob", "How many volunteers do we expect?"),
    Line("Alice", "About twenty-five. Last year there were thirty, but some of them have moved away."),
    Line("Carol", "I will label the shelves on Thursday, so nobody has to search for a place."),
    Line("Alice", "Thank you both. We meet again next Tuesday at ten."),
)
