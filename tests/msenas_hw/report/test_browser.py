"""The page in headless Chromium: no errors, every selection, keyboard, phone, dark and print."""

from __future__ import annotations

import importlib.util
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msenas_hw.report import write_report
from msenas_hw.search import Study

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="needs chromium, chromedriver and selenium (apt-get install chromium chromium-driver)",
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--force-prefers-reduced-motion", "--window-size=1200,900",
)  # fmt: skip
ARROWS = {"right": "\ue014", "left": "\ue012", "home": "\ue011", "end": "\ue010"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with warnings.catch_warnings():
        # urllib3 leaves sockets to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=DRIVER))
        yield driver
        driver.quit()


@pytest.fixture
def browser(chromium: Any) -> Any:
    """Chromium with an empty tab, no emulation and empty logs."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    return chromium


@pytest.fixture
def page(trained: Path) -> str:
    return write_report(Study.open(trained), trained, 2).as_uri()


def marked(browser: Any) -> dict[str, Any]:
    """What each part of the page shows as selected."""
    return browser.execute_script(
        """
        const text = (id) => document.querySelector(id)?.textContent ?? "";
        const ringed = (id) => document.querySelector(`${id} text.strong`)?.textContent;
        return {
          bar: text("#bar strong"), title: text("#network-title"), hash: location.hash,
          row: document.querySelector("#table tr[aria-current]")?.dataset.arch,
          scatter: ringed("#scatter"), space: ringed("#space"),
          parallel: document.querySelectorAll('#parallel path[stroke="var(--accent)"]').length,
          volume: document.querySelectorAll('#volume line[stroke="var(--accent)"]').length,
          energies: text("#energies caption"), live: text("#live"),
        }"""
    )


def everywhere(arch: str, found: dict[str, Any]) -> None:
    assert {found[key] for key in ("bar", "row", "scatter", "space")} == {arch}
    assert found["title"] == f"Network {arch}"
    assert arch in found["energies"]
    assert (found["parallel"], found["volume"]) == (1, 2)


def errors(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def test_a_selection_anywhere_selects_everywhere(browser: Any, page: str) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    browser.get(page)
    everywhere("slow", marked(browser))
    browser.find_element(By.CSS_SELECTOR, '#table tr[data-arch="lean"] button').click()
    everywhere("lean", found := marked(browser))
    assert found["hash"] == "#lean"
    assert found["live"].startswith("Network lean selected. Fitness 0.2")
    for chart in ("scatter", "parallel"):
        for arch in ("slow", "lean"):
            mark = browser.find_element(By.CSS_SELECTOR, f'#{chart} [data-arch="{arch}"]')
            # A line has its middle nowhere special, so it is clicked where it begins.
            x, y = browser.execute_script(
                "arguments[0].scrollIntoView({block: 'center'});"
                "const [mark] = arguments, box = mark.getBoundingClientRect();"
                "if (mark.localName === 'circle') return [box.x + box.width / 2, box.y + box.height / 2];"
                "const at = mark.getPointAtLength(mark.getTotalLength()), matrix = mark.getScreenCTM();"
                "return [at.x * matrix.a + matrix.e, at.y * matrix.d + matrix.f];",
                mark,
            )
            actions = ActionChains(browser)
            actions.w3c_actions.pointer_action.move_to_location(round(x), round(y)).click()
            actions.perform()
            everywhere(arch, marked(browser))
    assert errors(browser) == []


def test_the_keyboard_does_it_all(browser: Any, page: str) -> None:
    from selenium.webdriver.common.by import By

    browser.get(page)
    for chart in ("scatter", "space", "parallel", "volume"):
        element = browser.find_element(By.ID, chart)
        assert "arrow keys" in element.get_attribute("aria-label")
        element.send_keys(ARROWS["home"])
        first = marked(browser)["bar"]
        everywhere(first, marked(browser))
        element.send_keys(ARROWS["right"])
        everywhere(second := marked(browser)["bar"], marked(browser))
        assert {first, second} == {"slow", "lean"}
        element.send_keys(ARROWS["left"])
        everywhere(first, marked(browser))
        assert browser.switch_to.active_element.get_attribute("id") == chart
    stops = browser.execute_script(
        "return [...document.querySelectorAll('[onclick], tr.pick')].filter("
        "(one) => one.tabIndex < 0 && !one.querySelector('button')).length"
    )
    assert stops == 0
    assert errors(browser) == []


def test_axes_sorting_turning_and_views(browser: Any, page: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    browser.get(page)
    Select(browser.find_elements(By.CSS_SELECTOR, "#axes select")[0]).select_by_value("parameters")
    assert "Parameters" in browser.find_element(By.ID, "scatter").text
    browser.find_element(By.XPATH, "//div[@id='table']//th//button[starts-with(., 'Energy')]").click()
    rows = browser.find_elements(By.CSS_SELECTOR, "#table tbody tr")
    assert [row.get_attribute("data-arch") for row in rows] == ["lean", "slow"]
    before = browser.find_element(By.CSS_SELECTOR, "#space svg").get_attribute("outerHTML")
    browser.find_element(By.CSS_SELECTOR, '#turn [aria-label="Turn right"]').click()
    assert browser.find_element(By.CSS_SELECTOR, "#space svg").get_attribute("outerHTML") != before
    assert "trained weights" in browser.find_element(By.ID, "detail").text
    browser.find_element(By.CSS_SELECTOR, '[data-view="untrained"]').click()
    assert "balanced random weights" in browser.find_element(By.ID, "detail").text
    assert len(browser.find_elements(By.CSS_SELECTOR, "#mesh rect[fill^='var(--c']")) == 2
    assert errors(browser) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_scrolls_one_way_and_colours_have_contrast(browser: Any, page: str, dark: bool) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    colours = browser.execute_script(
        "const shade = (name) => { const probe = document.createElement('i');"
        "probe.style.color = `var(${name})`;"
        "document.body.append(probe); return getComputedStyle(probe).color.match(/\\d+/g).map(Number); };"
        "return Object.fromEntries(['--paper','--ink','--soft','--link','--over','--good','--accent']"
        ".map((name) => [name, shade(name)]))"
    )
    for name in ("--ink", "--soft", "--link", "--over", "--good", "--accent"):
        assert contrast(colours[name], colours["--paper"]) >= 4.5, name
    assert errors(browser) == []


def contrast(one: list[int], other: list[int]) -> float:
    """WCAG 2.1 contrast ratio of two sRGB colours."""

    def luminance(colour: list[int]) -> float:
        linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_print_shows_what_is_folded_and_no_controls(browser: Any, page: str) -> None:
    browser.get(page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    shown = browser.execute_script(
        "return [[...document.querySelectorAll('details')].every((one) => one.open),"
        "getComputedStyle(document.querySelector('nav')).display,"
        "getComputedStyle(document.querySelector('.controls')).display]"
    )
    assert shown == [True, "none", "none"]
    assert browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"].startswith("JVBERi")
    assert errors(browser) == []


def test_nothing_is_asked_of_a_network(browser: Any, page: str) -> None:
    browser.get(page)
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert any(url.startswith("file:") for url in asked)


def test_an_empty_run_opens(browser: Any, run: Path) -> None:
    (run / "study.sqlite").unlink()
    browser.get(write_report(Study.open(run), run).as_uri())
    assert "No network was evaluated yet" in browser.find_element("id", "front-text").text
    assert errors(browser) == []
