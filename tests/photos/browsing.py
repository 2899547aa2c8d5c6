"""What a person does on the page of ``ipcir serve``, and how a test reads it."""


def clean(page, url: str) -> None:
    """Nothing was told or warned of, and nothing outside was asked."""
    assert page.told == []
    assert all(asked.startswith((url, "data:", "blob:")) for asked in page.asked)


def names(page, which: str = "base") -> list[str]:
    return page.locator(f"#{which} .name").all_text_contents()


def imagined(page) -> None:
    ended = page.locator("#sliders, #problem").filter(visible=True).first
    ended.wait_for(timeout=90_000)
    assert page.locator("#problem").is_hidden(), page.locator("#problem").inner_text()
    page.locator("#ipcir li").first.wait_for()


def slide(page, name: str, value: float) -> None:
    """Pull a slider, and wait for the list that follows."""
    with page.expect_response("**/api/search"):
        page.locator(f"#{name}").evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
            value,
        )
    page.wait_for_timeout(100)
