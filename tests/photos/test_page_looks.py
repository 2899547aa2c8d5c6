"""The page of ``ipcir serve`` in a real browser: on a phone, in light and dark, with a screen reader."""

import pytest

from tests.photos.browsing import clean, imagined

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def test_a_phone(tab, served):
    page = tab(served.url, **PHONE)
    page.locator("#browse button.choose").nth(4).tap()
    page.fill("#text", "has a green background")
    page.locator("#imagine").tap()
    imagined(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        "[...document.querySelectorAll('header button, #sliders button, #sliders input[type=range]')]"
        ".filter(e => e.offsetParent && !e.closest('#references')).filter(e => e.getBoundingClientRect().height < 26)"
        ".map(e => e.id)"
    )
    assert small == []
    clean(page, served.url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_names(scheme, tab, served):
    """Text stands out by 4.5 : 1, and every control has a name for a screen reader."""
    page = tab(served.url, color_scheme=scheme)
    page.locator("#browse button.choose").nth(4).click()
    page.fill("#text", "has a green background")
    page.click("#imagine")
    imagined(page)
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, img')].filter(e => !(e.getAttribute('aria-label')"
        " || e.textContent.trim() || e.labels?.length || e.hasAttribute('alt'))).map(e => e.outerHTML)"
    )
    assert nameless == []
    worst = page.evaluate("""() => {
      const light = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const under = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!/^rgba.*, 0\\)$|transparent/.test(c)) return c; } return "rgb(255, 255, 255)"; };
      let worst = [99, ""];
      for (const e of document.querySelectorAll("body *")) {
        if (!e.offsetParent || e.disabled || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(under(e))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 100)];
      }
      return worst; }""")
    assert worst[0] >= 4.5, worst
    clean(page, served.url)
