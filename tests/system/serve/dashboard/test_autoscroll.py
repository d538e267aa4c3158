"""serve/dashboard/autoscroll.js: the page follows its end until the reader scrolls up, and again after they return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import Browser

from tests.harness.api.page_reader import PageReader, open_reader, reused_reader
from tests.harness.lane.fake_lane_writer import FakeLaneWriter, create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

SCREEN = {"width": 1280, "height": 600}
LONG = "It wraps, at every width of the window that a test of this file gives the page. " * 4
# The browser may use up the first step of a finger and 15 px more to recognize the gesture.
FINGER_PX = 45

Scroll = Callable[[PageReader], Awaitable[None]]


@pytest.fixture(scope="module")
async def window(browser: Browser, api_address: str) -> AsyncIterator[PageReader]:
    """A window with a mouse, a keyboard and a touch screen, which all tests share: a new one takes seconds."""
    async with open_reader(browser, api_address, viewport=SCREEN, has_touch=True) as reader:
        yield reader


@pytest.fixture
async def reader(window: PageReader, stage: ApiHarness) -> AsyncIterator[PageReader]:
    """The window in its original size, without a page."""
    await window.page.set_viewport_size({"width": SCREEN["width"], "height": SCREEN["height"]})
    async with reused_reader(window) as reader:
        yield reader


async def open_long_meeting(stage: ApiHarness, reader: PageReader, *, has_ended: bool = False) -> FakeLaneWriter:
    """The page of a meeting of 80 captioned sentences of three speakers, at its end."""
    meeting, lane = await create_written_meeting(stage)
    sentences = [make_sentence(f"{n}.0", f"Sentence {n}.", n, ["Ann", "Bob", "Eve"][n // 3 % 3]) for n in range(80)]
    lane.write_sentences(*sentences)
    lane.write_captions(sentences)
    if has_ended:
        lane.end()
        await reader.open(f"/meetings/{meeting}")
        await reader.wait_for_text("all received")
    else:
        await reader.open_live_meeting(meeting)
    # Nothing becomes late by itself.
    await reader.freeze_clock()
    await reader.wait_for_text("SENTENCE 79.")
    await reader.page.keyboard.press("End")
    await wait_for_scroll_rest(reader)
    assert await distance_to_end(reader) == 0
    return lane


async def wait_for_frame(reader: PageReader) -> None:
    """Wait until the browser draws."""
    await reader.page.evaluate("() => new Promise(requestAnimationFrame)")


async def wait_for_scroll_rest(reader: PageReader) -> float:
    """The scroll position, once it was the same for 8 frames: a smooth scroll changes it in each."""
    return await reader.page.evaluate(
        """() => new Promise((resolve) => {
            let last = scrollY, same = 0;
            const look = () => {
                same = scrollY === last ? same + 1 : 0;
                last = scrollY;
                if (same === 8) resolve(last); else requestAnimationFrame(look);
            };
            requestAnimationFrame(look);
        })"""
    )


async def distance_to_end(reader: PageReader) -> float:
    """Return the distance of the page's end below the window, in pixels."""
    return await reader.page.evaluate("() => document.documentElement.scrollHeight - innerHeight - scrollY")


async def is_following(reader: PageReader) -> bool:
    """Whether the page follows its end: then it shows no button to it."""
    return not await reader.page.is_visible(".scroll-to-latest")


async def write_and_wait(reader: PageReader, lane: FakeLaneWriter, n: int) -> None:
    """Write sentence `n` and wait until it is drawn."""
    lane.write_sentences(make_sentence(f"{n}.0", f"Sentence {n}.", n))
    await reader.wait_for(
        f"document.querySelector('.block:last-child .row:last-child .source').textContent === 'Sentence {n}.'"
    )
    await wait_for_frame(reader)


def press_keys(*pressed: str) -> Scroll:
    """Press keys, one after the other."""

    async def scroll(reader: PageReader) -> None:
        for key in pressed:
            await reader.page.keyboard.press(key)

    return scroll


def turn_wheel(step: float, times: int = 1) -> Scroll:
    """Turn the wheel, or move two fingers on a trackpad, by `step` pixels a frame. Negative is up."""

    async def scroll(reader: PageReader) -> None:
        await reader.page.mouse.move(400, 300)
        for _ in range(times):
            await reader.page.mouse.wheel(0, step)
            await wait_for_frame(reader)

    return scroll


def drag_finger(step: float) -> Scroll:
    """Drag the page down by 300 px on a touch screen, `step` pixels a frame, and hold it."""

    async def scroll(reader: PageReader) -> None:
        devtools = await reader.page.context.new_cdp_session(reader.page)

        async def touch(kind: str, *y: float) -> None:
            points = [{"x": 200, "y": at} for at in y]
            await devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            await wait_for_frame(reader)

        await touch("touchStart", 200)
        for n in range(int(300 / step)):
            await touch("touchMove", 200 + (n + 1) * step)
        # A finger that rests before it is lifted gives the page no momentum.
        for _ in range(10):
            await touch("touchMove", 500)
        await touch("touchEnd")
        await devtools.detach()

    return scroll


SCROLLS_UP = {
    "wheel, 10 px": turn_wheel(-10, 30),
    "wheel, 40 px": turn_wheel(-40, 30),
    "ArrowUp": press_keys(*["ArrowUp"] * 6),
    "PageUp": press_keys("PageUp"),
    "Home": press_keys("Home"),
    "Shift+Space": press_keys("Shift+Space"),
    "finger, 6 px": drag_finger(6),
    "finger, 15 px": drag_finger(15),
    "finger, 30 px": drag_finger(30),
}


COMMON_WAYS_UP = ("wheel, 10 px", "ArrowUp", "PageUp", "finger, 15 px")
"""The most common ways to scroll up."""


@pytest.mark.parametrize(
    ("over", "ways"),
    [
        pytest.param(False, COMMON_WAYS_UP, id="live"),
        pytest.param(
            False,
            tuple(way for way in SCROLLS_UP if way not in COMMON_WAYS_UP),
            id="live, other ways",
            marks=pytest.mark.slow,
        ),
        pytest.param(True, tuple(SCROLLS_UP), id="over", marks=pytest.mark.slow),
    ],
)
async def test_scrolling_up_from_the_end_works_as_anywhere_else(
    stage: ApiHarness, reader: PageReader, over: bool, ways: tuple[str, ...]
) -> None:
    lane = await open_long_meeting(stage, reader, has_ended=over)
    moved: dict[str, float] = {}
    from_middle: dict[str, float] = {}
    for n, way in enumerate(ways, 80):
        scroll = SCROLLS_UP[way]
        # First at a place where the page doesn't follow.
        await reader.page.evaluate("() => scrollTo(0, 1300)")
        start = await wait_for_scroll_rest(reader)
        await scroll(reader)
        from_middle[way] = start - await wait_for_scroll_rest(reader)
        await press_keys("End")(reader)
        end = await wait_for_scroll_rest(reader)
        assert await is_following(reader)
        await scroll(reader)
        place = await wait_for_scroll_rest(reader)
        moved[way] = end - place if way != "Home" else start - place
        if not over:
            await write_and_wait(reader, lane, n)
            assert await wait_for_scroll_rest(reader) == place, way
            assert await reader.page.inner_text(".scroll-to-latest") == "Jump to latest · 1 new sentence", way
    fingers = {way for way in ways if "finger" in way}
    # On a busy machine a key that is pressed again may end the scroll of the time before.
    keys_in_a_row = {"ArrowUp"}
    exact = set(ways) - fingers - keys_in_a_row
    assert {way: moved[way] for way in exact} == {way: from_middle[way] for way in exact}
    for way in fingers:
        assert moved[way] == pytest.approx(from_middle[way], abs=FINGER_PX), way
    assert min(min(moved[way], from_middle[way]) for way in ways) > 48, "nothing holds the reader at the end"


SCROLLS_TO_END: dict[str, Scroll] = {
    "wheel": turn_wheel(10, 4),
    "the button": lambda reader: reader.page.click(".scroll-to-latest"),
    "the button by its key": lambda reader: reader.page.press(".scroll-to-latest", "Enter"),
    **{key: press_keys(key) for key in ("End", "Control+End", "PageDown", "ArrowDown", "Space")},
}


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param(("wheel", "the button", "End"), id="most"),
        pytest.param(tuple(SCROLLS_TO_END)[2:], id="others", marks=pytest.mark.slow),
    ],
)
async def test_page_follows_again_after_the_reader_returns_to_the_end(
    stage: ApiHarness, reader: PageReader, ways: tuple[str, ...]
) -> None:
    lane = await open_long_meeting(stage, reader)
    for n, way in enumerate(ways, 80):
        back = SCROLLS_TO_END[way]
        await turn_wheel(-40)(reader)
        await wait_for_scroll_rest(reader)
        assert not await is_following(reader), way
        await back(reader)
        await wait_for_scroll_rest(reader)
        assert (await is_following(reader), await distance_to_end(reader)) == (True, 0), way
        await write_and_wait(reader, lane, n)
        assert (await is_following(reader), await distance_to_end(reader)) == (True, 0), way
    await press_keys("ArrowUp")(reader)
    await wait_for_scroll_rest(reader)
    await write_and_wait(reader, lane, 90)
    assert await reader.page.inner_text(".scroll-to-latest") == "Jump to latest · 1 new sentence"
    await reader.page.reload()
    await reader.wait_for_text("Sentence 90.")
    await wait_for_scroll_rest(reader)
    assert (await is_following(reader), await distance_to_end(reader)) == (True, 0)


async def test_page_stops_following_until_the_reader_is_fully_back_at_the_end(
    stage: ApiHarness, reader: PageReader
) -> None:
    lane = await open_long_meeting(stage, reader)
    distances: list[float] = []
    for n in range(70, 80):
        await write_and_wait(reader, lane, n + 10)
        distances.append(await distance_to_end(reader))
    assert distances == [0] * 10
    assert await is_following(reader)
    await turn_wheel(-300)(reader)
    await wait_for_scroll_rest(reader)
    await turn_wheel(290)(reader)
    place = await wait_for_scroll_rest(reader)
    assert await distance_to_end(reader) == 10
    await write_and_wait(reader, lane, 90)
    assert await wait_for_scroll_rest(reader) == place
    assert not await is_following(reader)


@pytest.mark.parametrize(
    "up",
    [
        pytest.param(press_keys("ArrowUp"), id="ArrowUp"),
        pytest.param(turn_wheel(-10), id="wheel", marks=pytest.mark.slow),
    ],
)
async def test_scrolling_up_works_while_the_page_grows_in_each_frame(
    stage: ApiHarness, reader: PageReader, up: Scroll
) -> None:
    lane = await open_long_meeting(stage, reader)
    await reader.page.evaluate(
        """() => {
            const text = document.querySelector(".block:last-child .row:last-child .source");
            const grow = () => {
                text.append(" And it goes on.".repeat(8));
                if (document.querySelector(".scroll-to-latest").hidden) requestAnimationFrame(grow);
            };
            grow();
        }"""
    )
    await up(reader)
    await reader.wait_for("!document.querySelector('.scroll-to-latest').hidden")
    place = await wait_for_scroll_rest(reader)
    await write_and_wait(reader, lane, 80)
    assert await wait_for_scroll_rest(reader) == place


# --- the page or the window changes, and nobody scrolls ---


async def rewrap(reader: PageReader, lane: FakeLaneWriter) -> None:
    for width in (700, 1600, 375, 1280):
        await reader.page.set_viewport_size({"width": width, "height": 600})
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0


async def raise_and_lower(reader: PageReader, lane: FakeLaneWriter) -> None:
    for height in (900, 300, 601, 600):
        await reader.page.set_viewport_size({"width": 1280, "height": height})
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0


async def shorten(reader: PageReader, lane: FakeLaneWriter) -> None:
    for n, (long, short) in enumerate([("70.0", "79.0"), ("79.0", "3.0"), ("3.0", "70.0")], 1):
        lane.write_sentences(
            make_sentence(long, LONG, float(long), revision=2 * n),
            make_sentence(short, "No.", float(short), revision=2 * n),
        )
        await reader.wait_for(f"[...document.querySelectorAll('.source')][{int(float(short))}].textContent === 'No.'")
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0


async def retract(reader: PageReader, lane: FakeLaneWriter) -> None:
    for n in (79, 10, 78):
        lane.retract(make_sentence(f"{n}.0", f"Sentence {n}.", n))
        await reader.wait_for(f"!document.querySelector('[data-id=\"{n}.0\"]')")
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0


async def grow_and_drop(reader: PageReader, lane: FakeLaneWriter) -> None:
    for text in ("So", LONG, "", LONG, "So", ""):
        lane.publish_interim("Bob", text)
        shown = f"document.querySelector('.interim .source')?.textContent === {text!r}"
        await reader.wait_for(shown if text else "!document.querySelector('.interim')")
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0


async def swap_lines(reader: PageReader, lane: FakeLaneWriter) -> None:
    """Remove a line above the window and add one at the end: the page's height stays the same."""
    longer = make_sentence("3.0", LONG, 3, revision=2)
    lane.write_sentences(longer)
    lane.write_caption(longer, "Short.")
    await reader.wait_for("document.querySelectorAll('.row .text')[3].textContent === 'Short.'")
    await wait_for_scroll_rest(reader)
    height = await reader.page.evaluate("() => document.documentElement.scrollHeight")
    await reader.page.evaluate(
        f"""() => {{
            const rows = document.querySelectorAll(".row .source");
            rows[3].textContent = "Short.";
            rows[79].textContent = {LONG!r};
        }}"""
    )
    await wait_for_scroll_rest(reader)
    assert await reader.page.evaluate("() => document.documentElement.scrollHeight") == height
    assert await distance_to_end(reader) == 0


async def magnify(reader: PageReader, lane: FakeLaneWriter) -> None:
    """Zoom, as the browser does: every length changes at once."""
    for zoom in (1.1, 2, 0.67, 1):
        await reader.page.evaluate(f"() => {{ document.documentElement.style.zoom = {zoom} }}")
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) <= 1
    await reader.page.evaluate("() => { document.documentElement.style.zoom = '' }")


@pytest.mark.slow
async def test_layout_change_does_not_stop_following(stage: ApiHarness, reader: PageReader) -> None:
    lane = await open_long_meeting(stage, reader)
    await reader.page.evaluate(
        """() => {
            window.offered = 0;
            new MutationObserver(() => { window.offered += !document.querySelector(".scroll-to-latest").hidden })
                .observe(document.querySelector(".scroll-to-latest"), { attributes: true });
        }"""
    )
    changes = (rewrap, raise_and_lower, magnify, swap_lines, shorten, grow_and_drop, retract)
    for n, change in enumerate(changes, 80):
        await change(reader, lane)
        assert await reader.page.evaluate("() => window.offered") == 0, change
        await write_and_wait(reader, lane, n)
        assert await distance_to_end(reader) == 0, change


async def test_page_keeps_following_after_a_language_change(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(
        stage, config={"source_language": "en", "target_languages": ["pt", "ja"]}
    )
    said = [make_sentence(f"{n}.0", f"Sentence {n}. {LONG if n % 2 else ''}", n) for n in range(40)]
    lane.write_sentences(*said, languages=("pt", "ja"))
    lane.write_captions(said)
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("SENTENCE 39.")
    for language in ("ja", "pt"):
        await reader.page.get_by_label("Language of the captions").select_option(language)
        await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0
        assert await is_following(reader)
    # In the list of languages, the keys choose one.
    await turn_wheel(-300)(reader)
    place = await wait_for_scroll_rest(reader)
    await reader.page.get_by_label("Language of the captions").focus()
    assert await wait_for_scroll_rest(reader) == place
    await reader.page.keyboard.press("End")
    await reader.page.wait_for_url("**?language=ja")
    await wait_for_scroll_rest(reader)
    assert not await is_following(reader)


async def test_page_that_shrinks_to_the_readers_place_does_not_follow_by_itself(
    stage: ApiHarness, reader: PageReader
) -> None:
    lane = await open_long_meeting(stage, reader)
    for back in (press_keys("End"), press_keys("ArrowDown"), turn_wheel(10)):
        lane.publish_interim("Bob", LONG)
        await reader.wait_for_text("It wraps")
        await wait_for_scroll_rest(reader)
        assert await is_following(reader)
        await turn_wheel(-20)(reader)
        await wait_for_scroll_rest(reader)
        lane.publish_interim("Bob", "")
        await reader.wait_for("!document.querySelector('.interim')")
        place = await wait_for_scroll_rest(reader)
        assert await distance_to_end(reader) == 0
        assert not await is_following(reader)
        await back(reader)
        assert await wait_for_scroll_rest(reader) == place
        assert await is_following(reader)


@pytest.mark.main_path
async def test_readers_place_is_kept_while_the_end_changes(stage: ApiHarness, reader: PageReader) -> None:
    lane = await open_long_meeting(stage, reader)
    await turn_wheel(-600)(reader)
    place = await wait_for_scroll_rest(reader)
    await write_and_wait(reader, lane, 80)
    lane.publish_interim("Bob", LONG)
    await reader.wait_for_text("It wraps")
    assert await wait_for_scroll_rest(reader) == place
    await reader.page.set_viewport_size({"width": 1280, "height": 400})
    assert await wait_for_scroll_rest(reader) == place
    assert not await is_following(reader)
    lane.end()
    await reader.wait_for_text("over since")
    assert await wait_for_scroll_rest(reader) == place


@pytest.mark.main_path
async def test_readers_place_is_kept_while_sentences_above_change(stage: ApiHarness, reader: PageReader) -> None:
    lane = await open_long_meeting(stage, reader)
    await turn_wheel(-600)(reader)
    read = """() => {
        const covered = document.querySelector(".column-headers").getBoundingClientRect().bottom;
        const texts = [...document.querySelectorAll(".row .source")];
        return texts.find((text) => text.getBoundingClientRect().top >= covered).closest(".row").dataset.id;
    }"""
    for anchoring in ("auto", "none"):
        # Some browsers have no scroll anchoring.
        await reader.page.evaluate(f"() => {{ document.documentElement.style.overflowAnchor = '{anchoring}' }}")
        await turn_wheel(-300)(reader)
        await wait_for_scroll_rest(reader)
        id = await reader.page.evaluate(read)
        first = int(float(id))
        assert 30 < first < 70
        place = f"() => document.querySelector('[data-id=\"{id}\"] .source').getBoundingClientRect().top"
        before = await reader.page.evaluate(place)
        n = 5 if anchoring == "auto" else 15
        changes = {
            "a late sentence": make_sentence(f"{n}.5", "Late.", n + 0.5, "Max"),
            "another speaker": make_sentence(f"{n + 1}.0", "Another one.", n + 1, "Max", revision=2),
            "a longer text": make_sentence(f"{n + 2}.0", LONG, n + 2, "Eve", revision=2),
            "the speaker of the sentences around it": make_sentence(f"{n}.5", "Late.", n + 0.5, "Bob", revision=2),
            "a late sentence just above": make_sentence(f"{first - 1}.{n}", "Late.", first - 0.5, "Max"),
            "the speaker of the one just above": make_sentence(
                f"{first - 1}.{n}", "Late.", first - 0.5, "Eve", revision=2
            ),
            "one that moves away": make_sentence(f"{first + 1}.0", "Sentence.", n, "Eve", revision=n),
        }
        for what, changed in changes.items():
            lane.write_sentences(changed)
            await reader.wait_for(
                f"""(() => {{
                    const row = document.querySelector('[data-id="{changed.id}"]');
                    return row?.dataset.speaker === {changed.speaker!r} && row.textContent.includes({changed.text!r});
                }})()"""
            )
            await wait_for_scroll_rest(reader)
            assert await reader.page.evaluate(place) == pytest.approx(before, abs=2), (anchoring, what)


@pytest.mark.parametrize("how", ["live", pytest.param("over", marks=pytest.mark.slow)])
async def test_short_page_has_no_jump_button(
    stage: ApiHarness, reader: PageReader, how: Literal["live", "over"]
) -> None:
    meeting, lane = await create_written_meeting(stage)
    lane.write_sentences(make_sentence("0.0", "Sentence 0.", 0))
    if how == "over":
        lane.end()
    await reader.open(f"/meetings/{meeting}")
    await reader.wait_for_text("Sentence 0.")
    for scroll in (press_keys("ArrowUp", "Home", "PageUp"), turn_wheel(-100), drag_finger(15)):
        await scroll(reader)
        assert await is_following(reader)
    if how == "over":
        return
    lane.write_sentences(*(make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(1, 8)))
    for n in range(8, 24):
        await write_and_wait(reader, lane, n)
        assert await distance_to_end(reader) == 0
    assert await wait_for_scroll_rest(reader) > 0
    assert await is_following(reader)
