"""serve/dashboard/autoscroll.js: the page follows its end until the reader scrolls up, and from when they are back there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import Browser

from tests.harness.browser import Reader, next_reader, reading
from tests.harness.scribe import Scribe, begin, sentence

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server", "tests.harness.browser"]
pytestmark = pytest.mark.main_path

SCREEN = {"width": 1280, "height": 600}
LONG = "It wraps, at every width of the window that a test of this file gives the page. " * 4
# The first step of a finger and 15 px more may go into finding out what it is up to.
FINGER_PX = 45

Scroll = Callable[[Reader], Awaitable[None]]


@pytest.fixture(scope="module")
async def window(browser: Browser, api_address: str) -> AsyncIterator[Reader]:
    """A window with a mouse, a keyboard and a touch screen, which all tests share: a new one takes seconds."""
    async with reading(browser, api_address, viewport=SCREEN, has_touch=True) as reader:
        yield reader


@pytest.fixture
async def reader(window: Reader, stage: Stage) -> AsyncIterator[Reader]:
    """Somebody who has just sat down at it."""
    await window.page.set_viewport_size({"width": SCREEN["width"], "height": SCREEN["height"]})
    async with next_reader(window) as reader:
        yield reader


async def long_meeting(stage: Stage, reader: Reader, *, over: bool = False) -> Scribe:
    """The page of a meeting of 80 captioned sentences of three speakers, at its end."""
    meeting, lane = await begin(stage)
    said = [sentence(f"{n}.0", f"Sentence {n}.", n, ["Ann", "Bob", "Eve"][n // 3 % 3]) for n in range(80)]
    lane.say(*said)
    lane.captions(said)
    if over:
        lane.end()
        await reader.open(f"/meetings/{meeting}")
        await reader.shown("all received")
    else:
        await reader.follow(meeting)
    # Nothing becomes late by itself.
    await reader.hold_time()
    await reader.shown("SENTENCE 79.")
    await reader.page.keyboard.press("End")
    await at_rest(reader)
    assert await distance_to_end(reader) == 0
    return lane


async def frame(reader: Reader) -> None:
    """Wait until the browser draws."""
    await reader.page.evaluate("() => new Promise(requestAnimationFrame)")


async def at_rest(reader: Reader) -> float:
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


async def distance_to_end(reader: Reader) -> float:
    """How far the end of the page is below the window, in pixels."""
    return await reader.page.evaluate("() => document.documentElement.scrollHeight - innerHeight - scrollY")


async def following(reader: Reader) -> bool:
    """Whether the page offers no way to its end."""
    return not await reader.page.is_visible(".latest")


async def say_more(reader: Reader, lane: Scribe, n: int) -> None:
    """Say sentence `n` and wait until it is drawn."""
    lane.say(sentence(f"{n}.0", f"Sentence {n}.", n))
    await reader.until(
        f"document.querySelector('.block:last-child .row:last-child .source').textContent === 'Sentence {n}.'"
    )
    await frame(reader)


def keys(*pressed: str) -> Scroll:
    """Press keys, one after the other."""

    async def scroll(reader: Reader) -> None:
        for key in pressed:
            await reader.page.keyboard.press(key)

    return scroll


def wheel(step: float, times: int = 1) -> Scroll:
    """Turn the wheel, or move two fingers on a trackpad, by so many pixels a frame. Less than 0 is up."""

    async def scroll(reader: Reader) -> None:
        await reader.page.mouse.move(400, 300)
        for _ in range(times):
            await reader.page.mouse.wheel(0, step)
            await frame(reader)

    return scroll


def finger(step: float) -> Scroll:
    """Draw the page down by 300 px on a touch screen, so many pixels a frame, and hold it there."""

    async def scroll(reader: Reader) -> None:
        devtools = await reader.page.context.new_cdp_session(reader.page)

        async def touch(kind: str, *y: float) -> None:
            points = [{"x": 200, "y": at} for at in y]
            await devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            await frame(reader)

        await touch("touchStart", 200)
        for n in range(int(300 / step)):
            await touch("touchMove", 200 + (n + 1) * step)
        # A finger that rests before it is lifted gives the page no momentum.
        for _ in range(10):
            await touch("touchMove", 500)
        await touch("touchEnd")
        await devtools.detach()

    return scroll


UP = {
    "wheel, 10 px": wheel(-10, 30),
    "wheel, 40 px": wheel(-40, 30),
    "ArrowUp": keys(*["ArrowUp"] * 6),
    "PageUp": keys("PageUp"),
    "Home": keys("Home"),
    "Shift+Space": keys("Shift+Space"),
    "finger, 6 px": finger(6),
    "finger, 15 px": finger(15),
    "finger, 30 px": finger(30),
}


MOST = ("wheel, 10 px", "ArrowUp", "PageUp", "finger, 15 px")
"""What most readers scroll up with."""


@pytest.mark.parametrize(
    ("over", "ways"),
    [
        pytest.param(False, MOST, id="live"),
        pytest.param(False, tuple(way for way in UP if way not in MOST), id="live, other ways", marks=pytest.mark.slow),
        pytest.param(True, tuple(UP), id="over", marks=pytest.mark.slow),
    ],
)
async def test_the_reader_scrolls_up_from_the_end_as_from_anywhere(
    stage: Stage, reader: Reader, over: bool, ways: tuple[str, ...]
) -> None:
    lane = await long_meeting(stage, reader, over=over)
    moved: dict[str, float] = {}
    elsewhere: dict[str, float] = {}
    for n, way in enumerate(ways, 80):
        scroll = UP[way]
        # Where nothing is followed.
        await reader.page.evaluate("() => scrollTo(0, 1300)")
        start = await at_rest(reader)
        await scroll(reader)
        elsewhere[way] = start - await at_rest(reader)
        await keys("End")(reader)
        end = await at_rest(reader)
        assert await following(reader)
        await scroll(reader)
        place = await at_rest(reader)
        moved[way] = end - place if way != "Home" else start - place
        if not over:
            await say_more(reader, lane, n)
            assert await at_rest(reader) == place, way
            assert await reader.page.inner_text(".latest") == "Jump to latest · 1 new sentence", way
    fingers = {way for way in ways if "finger" in way}
    # On a busy machine a key that is pressed again may end the scroll of the time before.
    keys_in_a_row = {"ArrowUp"}
    exact = set(ways) - fingers - keys_in_a_row
    assert {way: moved[way] for way in exact} == {way: elsewhere[way] for way in exact}
    for way in fingers:
        assert moved[way] == pytest.approx(elsewhere[way], abs=FINGER_PX), way
    assert min(min(moved[way], elsewhere[way]) for way in ways) > 48, "nothing holds the reader at the end"


BACK: dict[str, Scroll] = {
    "wheel": wheel(10, 4),
    "the button": lambda reader: reader.page.click(".latest"),
    "the button by its key": lambda reader: reader.page.press(".latest", "Enter"),
    **{key: keys(key) for key in ("End", "Control+End", "PageDown", "ArrowDown", "Space")},
}


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param(("wheel", "the button", "End"), id="most"),
        pytest.param(tuple(BACK)[2:], id="others", marks=pytest.mark.slow),
    ],
)
async def test_the_end_is_followed_again_once_the_reader_is_back(
    stage: Stage, reader: Reader, ways: tuple[str, ...]
) -> None:
    lane = await long_meeting(stage, reader)
    for n, way in enumerate(ways, 80):
        back = BACK[way]
        await wheel(-40)(reader)
        await at_rest(reader)
        assert not await following(reader), way
        await back(reader)
        await at_rest(reader)
        assert (await following(reader), await distance_to_end(reader)) == (True, 0), way
        await say_more(reader, lane, n)
        assert (await following(reader), await distance_to_end(reader)) == (True, 0), way
    await keys("ArrowUp")(reader)
    await at_rest(reader)
    await say_more(reader, lane, 90)
    assert await reader.page.inner_text(".latest") == "Jump to latest · 1 new sentence"
    await reader.page.reload()
    await reader.shown("Sentence 90.")
    await at_rest(reader)
    assert (await following(reader), await distance_to_end(reader)) == (True, 0)


async def test_new_sentences_are_followed_until_the_reader_goes_up_and_not_quite_back(
    stage: Stage, reader: Reader
) -> None:
    lane = await long_meeting(stage, reader)
    distances: list[float] = []
    for n in range(70, 80):
        await say_more(reader, lane, n + 10)
        distances.append(await distance_to_end(reader))
    assert distances == [0] * 10
    assert await following(reader)
    await wheel(-300)(reader)
    await at_rest(reader)
    await wheel(290)(reader)
    place = await at_rest(reader)
    assert await distance_to_end(reader) == 10
    await say_more(reader, lane, 90)
    assert await at_rest(reader) == place
    assert not await following(reader)


@pytest.mark.parametrize(
    "up", [pytest.param(keys("ArrowUp"), id="ArrowUp"), pytest.param(wheel(-10), id="wheel", marks=pytest.mark.slow)]
)
async def test_the_reader_scrolls_up_while_the_page_grows_in_each_frame(
    stage: Stage, reader: Reader, up: Scroll
) -> None:
    lane = await long_meeting(stage, reader)
    await reader.page.evaluate(
        """() => {
            const text = document.querySelector(".block:last-child .row:last-child .source");
            const grow = () => {
                text.append(" And it goes on.".repeat(8));
                if (document.querySelector(".latest").hidden) requestAnimationFrame(grow);
            };
            grow();
        }"""
    )
    await up(reader)
    await reader.until("!document.querySelector('.latest').hidden")
    place = await at_rest(reader)
    await say_more(reader, lane, 80)
    assert await at_rest(reader) == place


# --- the page or the window changes, and nobody scrolls ---


async def rewrap(reader: Reader, lane: Scribe) -> None:
    for width in (700, 1600, 375, 1280):
        await reader.page.set_viewport_size({"width": width, "height": 600})
        await at_rest(reader)
        assert await distance_to_end(reader) == 0


async def raise_and_lower(reader: Reader, lane: Scribe) -> None:
    for height in (900, 300, 601, 600):
        await reader.page.set_viewport_size({"width": 1280, "height": height})
        await at_rest(reader)
        assert await distance_to_end(reader) == 0


async def shorten(reader: Reader, lane: Scribe) -> None:
    for n, (long, short) in enumerate([("70.0", "79.0"), ("79.0", "3.0"), ("3.0", "70.0")], 1):
        lane.say(
            sentence(long, LONG, float(long), revision=2 * n), sentence(short, "No.", float(short), revision=2 * n)
        )
        await reader.until(f"[...document.querySelectorAll('.source')][{int(float(short))}].textContent === 'No.'")
        await at_rest(reader)
        assert await distance_to_end(reader) == 0


async def retract(reader: Reader, lane: Scribe) -> None:
    for n in (79, 10, 78):
        lane.retract(sentence(f"{n}.0", f"Sentence {n}.", n))
        await reader.until(f"!document.querySelector('[data-id=\"{n}.0\"]')")
        await at_rest(reader)
        assert await distance_to_end(reader) == 0


async def grow_and_drop(reader: Reader, lane: Scribe) -> None:
    for text in ("So", LONG, "", LONG, "So", ""):
        lane.grow("Bob", text)
        shown = f"document.querySelector('.interim .source')?.textContent === {text!r}"
        await reader.until(shown if text else "!document.querySelector('.interim')")
        await at_rest(reader)
        assert await distance_to_end(reader) == 0


async def swap_lines(reader: Reader, lane: Scribe) -> None:
    """Above the window a line goes, at the end of the page one comes: what is on the screen could stay where it is."""
    longer = sentence("3.0", LONG, 3, revision=2)
    lane.say(longer)
    lane.caption(longer, "Short.")
    await reader.until("document.querySelectorAll('.row .text')[3].textContent === 'Short.'")
    await at_rest(reader)
    height = await reader.page.evaluate("() => document.documentElement.scrollHeight")
    await reader.page.evaluate(
        f"""() => {{
            const rows = document.querySelectorAll(".row .source");
            rows[3].textContent = "Short.";
            rows[79].textContent = {LONG!r};
        }}"""
    )
    await at_rest(reader)
    assert await reader.page.evaluate("() => document.documentElement.scrollHeight") == height
    assert await distance_to_end(reader) == 0


async def magnify(reader: Reader, lane: Scribe) -> None:
    """As the browser's zoom does: every length changes at once."""
    for zoom in (1.1, 2, 0.67, 1):
        await reader.page.evaluate(f"() => {{ document.documentElement.style.zoom = {zoom} }}")
        await at_rest(reader)
        assert await distance_to_end(reader) <= 1
    await reader.page.evaluate("() => { document.documentElement.style.zoom = '' }")


@pytest.mark.slow
async def test_a_change_of_layout_is_no_scroll_up(stage: Stage, reader: Reader) -> None:
    lane = await long_meeting(stage, reader)
    await reader.page.evaluate(
        """() => {
            window.offered = 0;
            new MutationObserver(() => { window.offered += !document.querySelector(".latest").hidden })
                .observe(document.querySelector(".latest"), { attributes: true });
        }"""
    )
    changes = (rewrap, raise_and_lower, magnify, swap_lines, shorten, grow_and_drop, retract)
    for n, change in enumerate(changes, 80):
        await change(reader, lane)
        assert await reader.page.evaluate("() => window.offered") == 0, change
        await say_more(reader, lane, n)
        assert await distance_to_end(reader) == 0, change


async def test_another_language_is_followed_on(stage: Stage, reader: Reader) -> None:
    meeting, lane = await begin(stage, config={"source_language": "en", "target_languages": ["pt", "ja"]})
    said = [sentence(f"{n}.0", f"Sentence {n}. {LONG if n % 2 else ''}", n) for n in range(40)]
    lane.say(*said, languages=("pt", "ja"))
    lane.captions(said)
    await reader.follow(meeting)
    await reader.shown("SENTENCE 39.")
    for language in ("ja", "pt"):
        await reader.page.select_option("select", language)
        await at_rest(reader)
        assert await distance_to_end(reader) == 0
        assert await following(reader)
    # In the list of languages, the keys choose one.
    await wheel(-300)(reader)
    place = await at_rest(reader)
    await reader.page.focus("select")
    assert await at_rest(reader) == place
    await reader.page.keyboard.press("End")
    await reader.page.wait_for_url("**?language=ja")
    await at_rest(reader)
    assert not await following(reader)


async def test_a_page_that_shrinks_to_where_the_reader_is_leaves_it_to_them_to_follow(
    stage: Stage, reader: Reader
) -> None:
    lane = await long_meeting(stage, reader)
    for back in (keys("End"), keys("ArrowDown"), wheel(10)):
        lane.grow("Bob", LONG)
        await reader.shown("It wraps")
        await at_rest(reader)
        assert await following(reader)
        await wheel(-20)(reader)
        await at_rest(reader)
        lane.grow("Bob", "")
        await reader.until("!document.querySelector('.interim')")
        place = await at_rest(reader)
        assert await distance_to_end(reader) == 0
        assert not await following(reader)
        await back(reader)
        assert await at_rest(reader) == place
        assert await following(reader)


async def test_the_place_that_is_read_is_kept(stage: Stage, reader: Reader) -> None:
    lane = await long_meeting(stage, reader)
    await wheel(-600)(reader)
    place = await at_rest(reader)
    await say_more(reader, lane, 80)
    lane.grow("Bob", LONG)
    await reader.shown("It wraps")
    assert await at_rest(reader) == place
    await reader.page.set_viewport_size({"width": 1280, "height": 400})
    assert await at_rest(reader) == place
    assert not await following(reader)
    lane.end()
    await reader.shown("over since")
    assert await at_rest(reader) == place


async def test_what_is_read_stays_where_it_is_while_sentences_above_change(stage: Stage, reader: Reader) -> None:
    lane = await long_meeting(stage, reader)
    await wheel(-600)(reader)
    read = """() => {
        const covered = document.querySelector(".heads").getBoundingClientRect().bottom;
        const texts = [...document.querySelectorAll(".row .source")];
        return texts.find((text) => text.getBoundingClientRect().top >= covered).closest(".row").dataset.id;
    }"""
    for anchoring in ("auto", "none"):
        # Some browsers keep no place by themselves.
        await reader.page.evaluate(f"() => {{ document.documentElement.style.overflowAnchor = '{anchoring}' }}")
        await wheel(-300)(reader)
        await at_rest(reader)
        id = await reader.page.evaluate(read)
        first = int(float(id))
        assert 30 < first < 70
        place = f"() => document.querySelector('[data-id=\"{id}\"] .source').getBoundingClientRect().top"
        before = await reader.page.evaluate(place)
        n = 5 if anchoring == "auto" else 15
        changes = {
            "a late sentence": sentence(f"{n}.5", "Late.", n + 0.5, "Max"),
            "another speaker": sentence(f"{n + 1}.0", "Another one.", n + 1, "Max", revision=2),
            "a longer text": sentence(f"{n + 2}.0", LONG, n + 2, "Eve", revision=2),
            "the speaker of the sentences around it": sentence(f"{n}.5", "Late.", n + 0.5, "Bob", revision=2),
            "a late sentence just above": sentence(f"{first - 1}.{n}", "Late.", first - 0.5, "Max"),
            "the speaker of the one just above": sentence(f"{first - 1}.{n}", "Late.", first - 0.5, "Eve", revision=2),
            "one that moves away": sentence(f"{first + 1}.0", "Sentence.", n, "Eve", revision=n),
        }
        for what, changed in changes.items():
            lane.say(changed)
            await reader.until(
                f"""(() => {{
                    const row = document.querySelector('[data-id="{changed.id}"]');
                    return row?.dataset.speaker === {changed.speaker!r} && row.textContent.includes({changed.text!r});
                }})()"""
            )
            await at_rest(reader)
            assert await reader.page.evaluate(place) == pytest.approx(before, abs=2), (anchoring, what)


@pytest.mark.parametrize("how", ["live", pytest.param("over", marks=pytest.mark.slow)])
async def test_where_there_is_nothing_to_scroll_nothing_is_offered(
    stage: Stage, reader: Reader, how: Literal["live", "over"]
) -> None:
    meeting, lane = await begin(stage)
    lane.say(sentence("0.0", "Sentence 0.", 0))
    if how == "over":
        lane.end()
    await reader.open(f"/meetings/{meeting}")
    await reader.shown("Sentence 0.")
    for scroll in (keys("ArrowUp", "Home", "PageUp"), wheel(-100), finger(15)):
        await scroll(reader)
        assert await following(reader)
    if how == "over":
        return
    lane.say(*(sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(1, 8)))
    for n in range(8, 24):
        await say_more(reader, lane, n)
        assert await distance_to_end(reader) == 0
    assert await at_rest(reader) > 0
    assert await following(reader)
