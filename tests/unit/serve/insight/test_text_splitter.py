"""serve/insight/text_splitter.py: whatever the text, nothing of it is lost."""

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
async def test_the_parts_put_together_are_the_text_and_each_fits(units: list[str], most: int) -> None:
    found = await cut_parts(units, most)
    assert "".join(found) == "".join(units)
    assert all(len(part) <= most for part in found)


@given(st.lists(st.text(min_size=1, max_size=20), max_size=20), st.integers(20, 60))
async def test_units_that_fit_are_never_cut_and_no_part_could_take_the_next(units: list[str], most: int) -> None:
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
async def test_a_line_that_is_too_long_is_cut_where_it_hurts_least(line: str, expected: list[str]) -> None:
    assert await cut_parts([line], 14) == expected


async def test_what_can_never_fit_is_refused() -> None:
    with pytest.raises(NonRetryableError, match="no room"):
        await cut_parts(["a line\n"], 0)


async def test_a_long_text_is_not_counted_from_end_to_end_for_each_part() -> None:
    measured_lengths: list[int] = []
    found = await cut_parts(["x" * 50] * 4_000, 2_000, measured_lengths)
    assert len(found) == 100
    assert max(measured_lengths) <= 2 * 2_000 + 100
