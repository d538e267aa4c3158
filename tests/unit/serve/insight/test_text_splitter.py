"""Tests of the text splitter: no text is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engines.protocol import NonRetryableError
from serve.insight.text_splitter import split_text

LINES = st.lists(
    st.text(alphabet=st.sampled_from("ab .!?。」\n\u00a0é"), max_size=40) | st.text(max_size=30), max_size=12
)


async def cut_parts(units: list[str], max_words: int, measured_lengths: list[int] | None = None) -> list[str]:
    async def fits(text: str) -> bool:
        if measured_lengths is not None:
            measured_lengths.append(len(text))
        return len(text) <= max_words

    return await split_text(units, fits)


@given(LINES, st.integers(1, 60))
async def test_parts_fit_and_join_to_the_text(units: list[str], most: int) -> None:
    found = await cut_parts(units, most)
    assert "".join(found) == "".join(units)
    assert all(len(part) <= most for part in found)


@given(st.lists(st.text(min_size=1, max_size=20), max_size=20), st.integers(20, 60))
async def test_fitting_units_stay_whole_and_parts_are_as_long_as_possible(units: list[str], most: int) -> None:
    found = await cut_parts(units, most)
    ends = {len("".join(units[:k])) for k in range(len(units) + 1)}
    at = 0
    for part in found:
        at += len(part)
        assert at in ends
    for k in range(len(found) - 1):
        after = next(unit for n, unit in enumerate(units) if len("".join(units[:n])) == len("".join(found[: k + 1])))
        assert len(found[k] + after) > most


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Ann: We go. Now we stay. Then we leave.", ["Ann: We go. ", "Now we stay. ", "Then we leave."]),
        ("一二三四五六。七八九十一二三四。", ["一二三四五六。", "七八九十一二三四。"]),
        ("one two three four five", ["one two three ", "four five"]),
        ("abcdefghijklmnopqrst", ["abcdefghij", "klmnopqrst"]),
    ],
)
async def test_long_line_is_split_at_the_best_place(line: str, expected: list[str]) -> None:
    assert await cut_parts([line], 14) == expected


async def test_window_too_small_for_a_character_is_an_error() -> None:
    with pytest.raises(NonRetryableError, match="no room"):
        await cut_parts(["a line\n"], 0)


async def test_long_text_is_not_measured_whole_for_each_part() -> None:
    measured_lengths: list[int] = []
    found = await cut_parts(["x" * 50] * 4_000, 2_000, measured_lengths)
    assert len(found) == 100
    assert max(measured_lengths) <= 2 * 2_000 + 100
