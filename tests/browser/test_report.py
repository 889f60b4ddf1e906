"""Reports in a real browser: they load nothing, hover, sort and filter, and fit every screen."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autospace.report import write_report
from tests.browser.chromium import Chromium, executable
from tests.report.samples import comparison, write_comparison, write_run
from tests.strategies import HOSTILE_NAMES

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on this machine")

WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    write_run(path)
    return write_report(path)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_comparison(tmp_path_factory.mktemp("compared")))


@pytest.fixture(params=["run", "compared"])
def report(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_screen_asks_for_nothing_and_complains_of_nothing(
    browser: Chromium, report: Path, width: int, dark: bool
) -> None:
    page = browser.page(report, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.requests() == [report.resolve().as_uri()]
    assert page.complaints() == []
    # What is wider than the screen scrolls in its own box, and nothing else is.
    wide = (
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.wide, pre, svg')"
        " && e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert page.evaluate(wide) == 0
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")


def test_the_page_may_not_ask_for_anything(browser: Chromium, compared: Path) -> None:
    page = browser.page(compared)
    page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))"
    )
    page.evaluate("document.body.append(document.createElement('script'))")
    page.evaluate("document.body.lastChild.textContent = 'window.injected = 1'")
    page.wait(lambda: bool(page.complaints()))
    assert "Content Security Policy" in page.complaints()[0]
    assert page.evaluate("window.injected === undefined")


READ = """
[...document.querySelectorAll('%s table')].map(table => ({
  heads: [...table.tHead.rows[0].cells].map(head => head.textContent),
  order: [...table.tHead.rows[0].cells].map(head => head.getAttribute('aria-sort')),
  rows: [...table.tBodies[0].rows].filter(row => !row.hidden)
    .map(row => [...row.cells].map(cell => cell.textContent)),
}))[0]
"""


def test_tables_sort_by_their_numbers_with_mouse_and_keyboard(
    browser: Chromium, compared: Path
) -> None:
    page = browser.page(compared)
    before = page.evaluate(READ % "#networks")
    place = before["heads"].index("MAdds")
    button = f"document.querySelectorAll('#networks th button')[{place}]"
    page.evaluate(f"{button}.click()")
    falling = page.evaluate(READ % "#networks")
    assert falling["order"][place] == "descending"
    page.evaluate(f"{button}.focus()")
    page.press("Enter")
    rising = page.evaluate(READ % "#networks")
    assert rising["order"][place] == "ascending"
    assert [each for each in rising["order"] if each] == ["ascending"]

    def numbers(found: Any) -> list[float]:
        scale = {"k": 1e3, "M": 1e6}
        texts = [row[place] for row in found["rows"]]
        return [float(text.rstrip("kM")) * scale.get(text[-1], 1) for text in texts]

    assert numbers(falling) == sorted(numbers(before), reverse=True)
    assert numbers(rising) == sorted(numbers(before))
    assert sorted(rising["rows"]) == sorted(before["rows"])


def test_the_filter_leaves_the_rows_that_hold_every_word(browser: Chromium, run: Path) -> None:
    page = browser.page(run)
    every = page.evaluate(READ % "#table")["rows"]
    page.evaluate(
        "(field => { field.value = 'LAYER_01 dw5';"
        " field.dispatchEvent(new Event('input', {bubbles: true})) })"
        "(document.querySelector('.filter input'))"
    )
    left = page.evaluate(READ % "#table")["rows"]
    expected = [row for row in every if row[0] == "layer_01" and "dw5" in " ".join(row)]
    assert left == expected
    assert 0 < len(left) < len(every)
    told = page.evaluate("document.querySelector('.filter output').textContent")
    assert told == f"{len(left)} of {len(every)} rows"
    assert page.evaluate("document.querySelector('.filter input').labels[0].textContent")


def test_hovering_and_arrow_keys_tell_the_values(browser: Chromium, run: Path) -> None:
    page = browser.page(run)
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate("document.querySelector('#fitness .panels svg').scrollIntoView()")
    page.wait(lambda: bool(page.evaluate("scrollY > 0")))
    spot = (
        "(box => ({x: box.x + box.width / 2, y: box.y + box.height / 2}))"
        "(document.querySelectorAll('#fitness .hit')[1].getBoundingClientRect())"
    )
    at = page.evaluate(spot)
    tip = "document.querySelector('.tip').textContent"

    def hovers() -> bool:
        page.move(at["x"] + 2, at["y"] - 2)  # again: scrolling may still be hiding the first tip
        return bool(page.evaluate(tip))

    page.wait(hovers)
    hovered = page.evaluate(tip)
    assert re.fullmatch(r"layer_01: evolved [+−]\d\.\d{3}, hand-made [+−]\d\.\d{3}", hovered)  # noqa: RUF001
    page.move(2, 2)
    page.wait(lambda: not page.evaluate(tip))
    page.evaluate("document.querySelector('#fitness svg.chart').focus()")
    seen = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"):
        page.press(key)
        seen.add(page.evaluate(tip))
    assert len(seen) == 2
    assert hovered in seen
    page.press("Escape")
    assert page.evaluate(tip) == ""
    assert page.complaints() == []


TEXTS = """
[...document.querySelectorAll('main *')].filter(each => !each.closest('.filter, svg > title'))
  .flatMap(each => [...each.childNodes].filter(child => child.nodeType === 3))
  .map(child => child.textContent.trim()).filter(Boolean)
"""


def test_without_scripts_everything_is_there_to_read(browser: Chromium, report: Path) -> None:
    with_scripts = browser.page(report).evaluate(TEXTS)
    bare = browser.page(report, scripts=False)
    without = bare.evaluate(TEXTS)
    # The titles of points serve as tips where no script does.
    tips = bare.evaluate("[...document.querySelectorAll('.hit > title')].map(e => e.textContent)")
    assert tips
    assert set(with_scripts) <= set(without)
    assert bare.evaluate("document.querySelectorAll('button, input, .tip').length") == 0
    assert bare.evaluate("document.querySelectorAll('details, table, svg.chart').length") > 3
    assert bare.complaints() == []


def _injected(value: Any, make: Callable[[], str]) -> Any:
    if isinstance(value, dict):
        kept = {"format", "verdict", "unit", "cost", "architectures"}
        return {k: v if k in kept else _injected(v, make) for k, v in value.items()}
    if isinstance(value, list):
        return [_injected(each, make) for each in value]
    return make() if isinstance(value, str) else value


def test_no_name_becomes_an_element_or_a_script(browser: Chromium, tmp_path: Path) -> None:
    attacks = [
        *HOSTILE_NAMES,
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(2)</script>",
        '"><svg onload=alert(3)>',
        "javascript:alert(4)",
    ]
    texts = iter(attacks * 1000)
    found = _injected(copy.deepcopy(comparison()), lambda: next(texts))
    page = browser.page(write_report(write_comparison(tmp_path, found)))
    page.evaluate("document.querySelectorAll('th button').forEach(each => each.click())")
    page.evaluate("document.querySelector('svg.chart').focus()")
    page.press("ArrowRight")
    assert page.complaints() == []
    assert page.evaluate("document.querySelectorAll('img, iframe, object, [onerror]').length") == 0
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.querySelector('h1').textContent.includes('<')") or any(
        name in page.evaluate("document.body.textContent") for name in attacks
    )


def test_paper_is_white_and_everything_is_open_on_it(
    browser: Chromium, run: Path, tmp_path: Path
) -> None:
    page = browser.page(run, dark=True)
    page.printed(tmp_path / "report.pdf")
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    paper = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--page')")
    assert paper.strip() == "#ffffff"


def test_the_skip_link_comes_first_and_leads_past_the_navigation(
    browser: Chromium, run: Path
) -> None:
    page = browser.page(run)
    page.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#report"
