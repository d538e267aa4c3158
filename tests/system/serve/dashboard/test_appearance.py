"""serve/dashboard: accessibility, screen sizes and long meetings."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import Browser

from operators.translation_requests import CaptionStatus
from tests.harness.api.page_reader import PageReader, open_reader, wait_for_api_rows
from tests.harness.lane.fake_lane_writer import FakeLaneWriter, create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

LONG = "https://example.org/" + "a-very-long-word" * 20


async def create_full_meeting(stage: ApiHarness) -> tuple[str, FakeLaneWriter]:
    """A meeting with a caption in each state, one with warnings, nine speakers and two interim texts."""
    meeting, scribe = await create_written_meeting(
        stage,
        title="Monday planning, with a title that is longer than a telephone is wide",
        config={"source_language": "en", "target_languages": ["pt", "ar"]},
    )
    said = [
        ("Maya", "Good morning everybody, and thank you for coming.", "Bom dia a todos, e obrigada por terem vindo."),
        ("Maya", "We have three things to talk about today.", "Temos três coisas para falar hoje."),
        ("Leo", "Can we begin with the budget? I have to leave at half past ten.", "Podemos começar com o orçamento?"),
        (
            "Ngozi",
            "Well, we spent 3.5 percent less than we planned.",
            "Bem, gastámos 3,5 por cento menos do que planeado.",
        ),
        ("Bob", f"It is all in {LONG}", "Está tudo lá."),
        *((f"Speaker {n}", "I agree.", "Concordo.") for n in range(5)),
        ("Leo", "Pois é.", "Pois é."),
        ("Maya", "Then it is settled.", None),
        ("Ngozi", "What about the party?", None),
        ("Maya", "Let us talk about the party, then.", "Falemos da festa."),
    ]
    sentences = [make_sentence(f"{n}.0", text, n * 4.0, who) for n, (who, text, _) in enumerate(said)]
    scribe.write_sentences(*sentences)
    for one, (_, _, text) in zip(sentences, said, strict=True):
        if text is not None:
            warnings = ("number: 3.5", "term: budget → orçamento") if "3.5" in one.text else ()
            status = CaptionStatus.SAME if text == one.text else CaptionStatus.TRANSLATED
            scribe.write_caption(one, text, status, warnings=warnings)
    scribe.write_caption(sentences[-3], None, CaptionStatus.UNTRANSLATED, "the model made up an answer")
    scribe.write_caption(sentences[-2], None, CaptionStatus.PENDING, "deadline")
    scribe.write_sentences(make_sentence("13.0", "Let us talk about the summer party, then.", 52.0, "Maya", revision=2))
    return meeting, scribe


async def publish_interims(reader: PageReader, scribe: FakeLaneWriter) -> None:
    scribe.publish_interim("Maya", "The food should be better than", pt="A comida devia ser melhor")
    scribe.publish_interim("Leo", "Last year it was")
    await reader.wait_for("document.querySelectorAll('.interim').length === 2")


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 360),
        *(
            pytest.param(scheme, width, marks=pytest.mark.slow)
            for scheme, widths in (("light", (360, 768, 1600)), ("dark", (768, 1280, 1600)))
            for width in widths
        ),
    ],
)
async def test_page_fits_the_screen_with_enough_contrast(
    stage: ApiHarness, browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    meeting, scribe = await create_full_meeting(stage)
    screen = {"width": width, "height": 800}
    async with open_reader(browser, str(stage.http.base_url), viewport=screen, color_scheme=scheme) as reader:
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text("late, still to come")
        await publish_interims(reader, scribe)
        await asyncio.sleep(0.5)
        await reader.page.screenshot(path=tmp_path / f"{scheme}-{width}.png")
        assert await reader.page.evaluate("() => document.documentElement.scrollWidth") <= width
        faint = {name: ratio for name, ratio in (await measure_contrasts(reader)).items() if ratio < 4.5}
        assert faint == {}
        await reader.page.evaluate("() => scrollTo(0, 0)")
        await reader.page.click("summary")
        await reader.wait_for("!document.querySelector('.scroll-to-latest').hidden")
        await reader.page.screenshot(path=tmp_path / f"{scheme}-{width}-top.png")
        # Beside each other, or below each other where there is no room.
        source, caption = [await reader.page.locator(part).first.bounding_box() for part in (".source", ".caption")]
        assert source is not None
        assert caption is not None
        beside = caption["x"] >= source["x"] + source["width"]
        below = caption["y"] >= source["y"] + source["height"]
        assert (beside, below) == ((False, True) if width == 360 else (True, False))
        await reader.open("/")
        await reader.wait_for("document.querySelector('.card a')")
        await reader.page.screenshot(path=tmp_path / f"{scheme}-{width}-list.png")
        assert await reader.page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert {name: ratio for name, ratio in (await measure_contrasts(reader)).items() if ratio < 4.5} == {}


async def measure_contrasts(reader: PageReader) -> dict[str, float]:
    """The contrast of each kind of text on the page to its background, by WCAG 2."""
    found: list[tuple[str, str, str]] = await reader.page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((one) => [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
            .filter((one) => one.checkVisibility())
            .map((one) => {
                let under = one;
                while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
                const name = `${one.tagName}.${one.className}`;
                return [name, getComputedStyle(one).color, getComputedStyle(under).backgroundColor];
            })"""
    )
    assert len(found) > 5
    return {
        name: (lambda a, b: (max(a, b) + 0.05) / (min(a, b) + 0.05))(relative_luminance(ink), relative_luminance(paper))
        for name, ink, paper in found
    }


def relative_luminance(colour: str) -> float:
    """A colour's relative luminance."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.main_path
async def test_page_works_with_screen_reader_and_keyboard(stage: ApiHarness, browser: Browser) -> None:
    meeting, _ = await create_full_meeting(stage)
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text("late, still to come")
        tree = await reader.page.locator("body").aria_snapshot()
        for part in ("banner", "main", 'heading "Monday planning', "[level=1]", 'navigation "Export"', "status"):
            assert part in tree, tree
        await reader.page.evaluate("() => scrollTo(0, 0)")
        await reader.wait_for("!document.querySelector('.scroll-to-latest').hidden")
        reached: list[str] = []
        for _ in range(15):
            await reader.page.keyboard.press("Tab")
            reached.append(
                await reader.page.evaluate("() => document.activeElement.textContent.trim().split('\\n')[0]")
            )
            ring = await reader.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert ring == "solid"
        assert reached[:8] == ["Parley", "WebVTT", "SRT", "Markdown", "TXT", "Word", "JSON Lines", "ZIP"]
        assert reached[8:12] == ["Counters", "Notes", "Insights", "Ask"]
        assert reached[12].startswith("Portuguese")
        assert reached[13] == "BothOriginalTranslation"
        assert reached[14].startswith("Jump to latest")


@pytest.mark.main_path
async def test_each_final_caption_is_announced_once_with_its_speaker(stage: ApiHarness, browser: Browser) -> None:
    meeting, scribe = await create_written_meeting(stage)
    old, waits, *new = (make_sentence(f"{n}.0", f"Sentence {n}.", n, ["Ann", "Bob"][n % 2]) for n in range(8))
    scribe.write_sentences(old, waits)
    scribe.write_caption(old, "Frase 0.")
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        # A screen reader hears each addition to a live region.
        await reader.page.add_init_script(
            """window.heard = [];
            const region = '[role="log"], [aria-live]:not([aria-live="off"])';
            new MutationObserver((records) => {
                for (const { addedNodes, target } of records) {
                    const about = target.nodeType === 1 ? target : target.parentElement;
                    for (const node of addedNodes) if (about?.closest(region)) heard.push(node.textContent);
                }
            }).observe(document, { subtree: true, childList: true, characterData: true });"""
        )
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text("Frase 0.")
        scribe.write_sentences(*new)
        for one in (waits, *new[:3]):
            scribe.write_caption(one, one.text.replace("Sentence", "Frase"))
        scribe.write_caption(new[3], "Frase.", warnings=("number: 5",))
        scribe.write_caption(new[4], None, CaptionStatus.UNTRANSLATED, "no model")
        scribe.write_caption(new[5], None, CaptionStatus.PENDING, "full")
        better = make_sentence("2.0", "Sentence two.", 2, revision=2)
        scribe.write_sentences(better)
        scribe.write_caption(better, "Frase dois.")
        await reader.wait_for_text("Frase dois.")
        await reader.wait_for_text("late, still to come")
        announced = [
            *("Bob: Frase 1.", "Ann: Frase 2.", "Bob: Frase 3.", "Ann: Frase 4."),
            "Bob: Frase. (may not have kept number: 5)",
            "Ann: Sentence 6. (not translated: no model)",
        ]
        # A caption may be shown, or a sentence revised, before the page drew what was before.
        assert [text.replace("dois", "2") for text in await reader.page.evaluate("() => heard")] == announced
        lines = reader.page.locator('[role="log"] span')
        assert await lines.evaluate_all("(spans) => spans.map((span) => span.lang)") == [*["pt"] * 5, "en"]
        # Without a translation, the source text is announced.
        silent, lane = await create_written_meeting(stage, config={"source_language": "en"})
        await reader.open_live_meeting(silent)
        lane.write_sentences(make_sentence("1.0", "Good morning.", 1), languages=())
        await reader.wait_for_text("Good morning.")
        assert await reader.page.evaluate("() => heard") == ["Ann: Good morning."]


async def test_long_titles_text_spacing_and_forced_colours(stage: ApiHarness, browser: Browser) -> None:
    title = "פגישת תכנון שבועית של צוות המוצר עם הלקוחות והשותפים " * 4
    meeting, scribe = await create_written_meeting(stage, title=title)
    scribe.write_sentences(*(make_sentence(f"{n}.0", f"Sentence {n}.", n, "שרה לוי") for n in range(40)))
    async with open_reader(browser, str(stage.http.base_url), viewport={"width": 1280, "height": 600}) as reader:
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text("Sentence 39.")
        # A title that is too long is cut off at its end, which is on the left.
        ink = """(heading) => {
            const range = new Range();
            range.setStart(heading.firstChild, 0);
            range.setEnd(heading.firstChild, 1);
            const [first, box] = [range.getBoundingClientRect(), heading.getBoundingClientRect()];
            return first.right <= box.right + 1 && first.left >= box.left - 1;
        }"""
        assert await reader.page.eval_on_selector("h1", "(h1) => h1.scrollWidth > h1.clientWidth")
        assert await reader.page.eval_on_selector("h1", ink)
        await reader.wait_for("document.querySelector('.row .speaker:dir(rtl)')")
        # The column headers stay below the bar at any text spacing (WCAG 1.4.12).
        await reader.page.evaluate(
            """() => {
                const sheet = new CSSStyleSheet();
                sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
                    word-spacing: 0.16em !important } .bar { font-size: 2rem }`);
                document.adoptedStyleSheets.push(sheet);
            }"""
        )
        bottom, top = (
            "document.querySelector('.bar').getBoundingClientRect().bottom",
            "heads.getBoundingClientRect().top",
        )
        await reader.wait_for(f"scrollY > 300 && {bottom} > 60")
        await reader.wait_for(f"((heads) => Math.abs({top} - {bottom}) < 1)(document.querySelector('.column-headers'))")
        # The dot of the state has the colour of its word where a page may have no backgrounds.
        await reader.page.emulate_media(forced_colors="active")
        dot = """(of) => { const dot = getComputedStyle(document.querySelector(of), '::before');
            return [parseFloat(dot.borderTopWidth) * 2 >= parseFloat(dot.width), dot.borderTopStyle]; }"""
        assert await reader.page.evaluate(dot, ".connection strong") == [True, "solid"]
        await reader.open("/")
        await reader.wait_for("document.querySelector('.card a')?.textContent")
        assert await reader.page.evaluate(dot, ".card h3") == [True, "solid"]
        await reader.wait_for("document.querySelector('.card h3:dir(rtl)')")


async def test_a_long_meeting_is_laid_out_in_blocks(stage: ApiHarness, browser: Browser) -> None:
    meeting, scribe = await create_written_meeting(stage)
    scribe.write_sentences(
        *(make_sentence(f"{n}.0", f"Sentence {n}.", n, ["Ann", "Bob"][n // 3 % 2]) for n in range(450))
    )
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.open_live_meeting(meeting)
        await reader.freeze_clock()
        await reader.wait_for("document.querySelectorAll('.row').length === 450")
        skips = """[...document.querySelectorAll('.block')].map((block) =>
            !block.firstElementChild.checkVisibility({ contentVisibilityAuto: true }))"""
        await reader.wait_for(f"((skips) => skips[0] && skips[1] && !skips.at(-1))({skips})")
        assert (
            await reader.page.evaluate(
                "() => Math.max(...[...document.querySelectorAll('.block')].map((one) => one.childElementCount))"
            )
            <= 200
        )
        # The page is as high as with all of it drawn, and its text can be found and selected.
        height = "() => document.documentElement.scrollHeight"
        before = await reader.page.evaluate(height)
        await reader.page.evaluate(
            "() => document.querySelectorAll('.block').forEach((one) => one.classList.remove('drawn'))"
        )
        assert await reader.page.evaluate(height) == pytest.approx(before, abs=2)
        # Late sentences make a block grow, until it is two.
        scribe.write_sentences(*(make_sentence(f"5.{n}", f"Late {n}.", 5 + n / 1000) for n in range(1, 120)))
        rows = await wait_for_api_rows(reader, stage.http, meeting)
        assert len(rows) == 569
        assert (
            await reader.page.evaluate(
                "() => Math.max(...[...document.querySelectorAll('.block')].map((one) => one.childElementCount))"
            )
            <= 200
        ), "a block of more items is split"
        for n in range(100, 200):
            scribe.retract(make_sentence(f"{n}.0", "", n))
        await wait_for_api_rows(reader, stage.http, meeting)
        assert await reader.page.evaluate(
            "() => [...document.querySelectorAll('.block')].every((one) => one.firstElementChild)"
        )


@pytest.mark.slow
async def test_three_hour_meeting_is_shown_within_seconds(stage: ApiHarness, browser: Browser) -> None:
    meeting, scribe = await create_written_meeting(stage)
    for k in range(0, 3_000, 100):
        for revision in (1, 2):
            said = [
                make_sentence(
                    f"{n}.0",
                    f"Sentence {n}, said for the {revision}. time.",
                    n * 3.6,
                    f"Speaker {n // 5 % 4}",
                    revision,
                )
                for n in range(k, k + (100 if revision == 1 else 66))
            ]
            scribe.write_sentences(*said)
            scribe.write_captions(said)
    seq = (await stage.http.get(f"/api/meetings/{meeting}")).json()["seq"]
    assert seq > 9_900
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        # Nothing becomes late, which would change rows by itself.
        await reader.open(f"/meetings/{meeting}")
        await reader.freeze_clock()
        await reader.wait_for("document.querySelector('.rows')?.ariaBusy === 'false'", 90)
        rows = await wait_for_api_rows(reader, stage.http, meeting)
        assert len(rows) == 3_000
        # A later event costs as little as the first ones.
        await reader.page.evaluate(
            """() => {
                window.touched = 0;
                const watch = new MutationObserver((records) => { window.touched += records.length });
                watch.observe(document.querySelector(".rows"), { subtree: true, childList: true, attributes: true });
            }"""
        )
        scribe.write_sentences(
            make_sentence("3000.0", "And one more.", 11_000), make_sentence("7.0", "Corrected.", 7 * 3.6, revision=3)
        )
        await reader.wait_for("document.querySelectorAll('.row .source')[7].textContent === 'Corrected.'")
        await reader.wait_for("[...document.querySelectorAll('.row .source')].at(-1).textContent === 'And one more.'")
        assert 0 < await reader.page.evaluate("() => window.touched") < 30


@pytest.mark.parametrize(("width", "height"), [(320, 200), (740, 340), (375, 667), (1280, 800)])
async def test_end_of_the_text_is_visible_on_any_screen(
    stage: ApiHarness, browser: Browser, tmp_path: Path, width: int, height: int
) -> None:
    """320 by 200 is what a window of 1280 by 800 has at a zoom of 400 %."""
    meeting, scribe = await create_full_meeting(stage)
    screen = {"width": width, "height": height}
    async with open_reader(browser, str(stage.http.base_url), viewport=screen) as reader:
        await reader.open_live_meeting(meeting)
        await publish_interims(reader, scribe)
        await reader.wait_for("scrollY > 0 && document.documentElement.scrollHeight - innerHeight - scrollY === 0")
        await reader.page.screenshot(path=tmp_path / "end.png")
        covered = await reader.page.evaluate(
            "() => Math.max(...[...document.querySelectorAll('.bar, .column-headers')]"
            ".map((one) => one.getBoundingClientRect().bottom))"
        )
        text = await reader.page.locator(".interim .source").last.bounding_box()
        assert text is not None
        below = height - text["y"] - text["height"]
        # Most of the window is text, down to its last line.
        assert max(covered, 0) + below < height / 2
        assert below >= 0
        await reader.page.evaluate("() => scrollBy(0, -60)")
        await reader.wait_for("!document.querySelector('.scroll-to-latest').hidden")
        await reader.page.screenshot(path=tmp_path / "up.png")
        button = await reader.page.locator(".scroll-to-latest").bounding_box()
        assert button is not None
        assert button["y"] + button["height"] <= height
        # On narrow screens the button is a full line, so that it covers no text.
        assert (button["width"] == width) == (width < 1280)
