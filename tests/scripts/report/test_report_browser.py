"""The report in a browser: nothing from outside, sorting, filtering, sliders, keyboard, narrow and dark."""

import json

import pytest

from docs.screenshots import browser, chromium
from tests.scripts.report.report_pages import EVIL, made, volumes

pytest.importorskip("selenium")
if chromium() is None:
    pytest.skip("Chromium and chromedriver are not installed", allow_module_level=True)

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CASES = ["case10", "case2", EVIL.replace(" src=x", ""), "case1"]
NAMES = ["left kidney with a very long name that does not end", "b", "c"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    data, output = volumes(folder, CASES, NAMES, caution="a sample")
    rows = [f"{e},{1 / e},{0.1 / e},2.5,{'' if e % 2 else e / 10}" for e in range(1, 7)]
    (output / "history.csv").write_text("\n".join(["epoch,loss,learning_rate,seconds,val_mean_dice", *rows]) + "\n")
    made(data, output)
    return (output / "report.html").as_uri()


@pytest.fixture(scope="module")
def chrome(address):
    with browser(1100, 900) as driver:
        driver.get(address)
        yield driver


def cells(chrome, table, column):
    rows = chrome.find_elements(By.CSS_SELECTOR, f"[data-table={table}] tbody tr")
    return [
        row.find_elements(By.CSS_SELECTOR, "th, td")[column].text.split("\n")[0] for row in rows if row.is_displayed()
    ]


def test_no_request_and_no_error(chrome, address):
    events = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    asked = {params["request"]["url"] for params in sent if params["documentURL"] == address}
    assert {url for url in asked if not url.startswith("data:")} == {address}
    assert chrome.get_log("browser") == []


def test_sorting_by_click_and_keyboard(chrome):
    mean, name = chrome.find_elements(By.CSS_SELECTOR, "[data-table=cases] thead button")[1::-1]
    heading = mean.find_element(By.XPATH, "..")
    mean.click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in cells(chrome, "cases", 1)]
    assert values == sorted(values)
    assert values[0] < values[-1]
    mean.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in cells(chrome, "cases", 1)] == values[::-1]
    name.send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") is None
    assert cells(chrome, "cases", 0)[-3:] == ["case1", "case2", "case10"]


def test_sorting_by_the_second_score(chrome):
    chrome.find_element(By.CSS_SELECTOR, "[data-table=cases] thead button").click()
    select = chrome.find_element(By.CSS_SELECTOR, "[data-table=cases] select")
    select.send_keys("HD95 mm")
    chrome.find_elements(By.CSS_SELECTOR, "[data-table=cases] thead button")[1].click()
    distances = [
        float(small.text) for small in chrome.find_elements(By.CSS_SELECTOR, "[data-table=cases] td:nth-child(2) small")
    ]
    assert distances == sorted(distances)
    select.send_keys("Dice %")
    assert distances[0] < distances[-1]


def test_filter_tells_how_many_rows_are_left(chrome):
    box = chrome.find_element(By.CSS_SELECTOR, "[data-table=cases]")
    field = box.find_element(By.CSS_SELECTOR, "input[type=search]")
    status = box.find_element(By.CSS_SELECTOR, "[role=status]")
    field.send_keys("CASE1")
    assert sorted(cells(chrome, "cases", 0)) == ["case1", "case10"]
    assert status.text == "2 of 4 rows"
    field.clear()
    field.send_keys(" ", Keys.BACKSPACE)
    assert len(cells(chrome, "cases", 0)) == 4
    assert status.text == ""


def test_slider_moves_all_panels_of_its_plane(chrome):
    first, second = chrome.find_elements(By.CSS_SELECTOR, ".plane")[:2]
    images = first.find_elements(By.CSS_SELECTOR, "img")
    others = [image.get_attribute("src") for image in second.find_elements(By.CSS_SELECTOR, "img")]
    slider = first.find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.HOME)
    before = [(image.get_attribute("src"), image.get_attribute("alt")) for image in images]
    slider.send_keys(Keys.ARROW_RIGHT)
    after = [(image.get_attribute("src"), image.get_attribute("alt")) for image in images]
    assert all(a[0] != b[0] for a, b in list(zip(before, after, strict=True))[::2])
    assert "axial slice 4 of 12: ground truth" in before[0][1]
    assert "axial slice 5 of 12: ground truth" in after[0][1]
    assert first.find_element(By.CSS_SELECTOR, "output").text == "5 of 12"
    assert slider.get_attribute("aria-valuetext") == "5 of 12"
    assert [image.get_attribute("src") for image in second.find_elements(By.CSS_SELECTOR, "img")] == others
    assert all(image.get_property("naturalWidth") for image in chrome.find_elements(By.CSS_SELECTOR, "img"))


def test_image_without_what_is_drawn_over_it(chrome):
    case = chrome.find_element(By.CSS_SELECTOR, ".case")
    layer = case.find_element(By.CSS_SELECTOR, ".layer")
    box = case.find_element(By.CSS_SELECTOR, ".bare")
    assert layer.value_of_css_property("visibility") == "visible"
    box.send_keys(Keys.SPACE)
    assert layer.value_of_css_property("visibility") == "hidden"
    box.send_keys(Keys.SPACE)


def test_points_of_a_curve_are_read_by_keyboard(chrome):
    figure = chrome.find_element(By.CSS_SELECTOR, "#training ~ .charts figure")
    svg, reading = figure.find_element(By.TAG_NAME, "svg"), figure.find_element(By.CSS_SELECTOR, ".reading")
    whole = reading.text
    chrome.execute_script("arguments[0].focus()", svg)
    chrome.switch_to.active_element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert reading.text == "epoch 2: 0.5"
    chrome.switch_to.active_element.send_keys(Keys.END)
    assert reading.text == "epoch 6: 0.1667"
    chrome.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert reading.text == whole


def test_focus_is_visible_and_every_control_is_named(chrome):
    chrome.refresh()
    body = chrome.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    seen = set()
    for _ in range(120):
        active = chrome.switch_to.active_element
        if active.tag_name == "body" or active.id in seen:
            break
        seen.add(active.id)
        assert active.accessible_name, active.get_attribute("outerHTML")[:200]
        assert active.value_of_css_property("outline-style") != "none"
        active.send_keys(Keys.TAB)
    assert len(seen) > 30
    assert EVIL not in chrome.page_source
    with pytest.raises(Exception, match="no such alert"):
        _ = chrome.switch_to.alert.text


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (320, False), (1100, True)])
def test_narrow_and_dark(address, width, dark):
    with browser(width, 844, dark=dark) as driver:
        driver.get(address)
        sizes = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert sizes == [width, width]
        background = driver.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        assert ("(15, 19, 24" in background) == dark
        panels = [p for p in driver.find_elements(By.CSS_SELECTOR, ".plane:first-of-type .panel") if p.is_displayed()]
        assert len(panels) == (3 if width > 640 else 1) * 3
        if width < 640:
            driver.find_element(By.CSS_SELECTOR, "input[value=errors]").send_keys(Keys.SPACE)
            assert driver.find_element(By.CSS_SELECTOR, ".panel.errors").is_displayed()
        assert driver.get_log("browser") == []


def test_page_without_scripts_is_whole(address):
    with browser(1100, 900, script=False) as driver:
        driver.get(address)
        assert not any(e.is_displayed() for e in driver.find_elements(By.CSS_SELECTOR, ".tools, input[type=range]"))
        assert driver.find_elements(By.CSS_SELECTOR, "thead button") == []
        assert len(cells(driver, "cases", 0)) == 4
        images = driver.find_elements(By.CSS_SELECTOR, ".image")
        assert len(images) == 27
        assert all(image.is_displayed() for image in images)
