"""Prompts: shipped ones and one's own."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.imagine.llm.prompts import PER_CAPTION, load_prompt


@pytest.mark.parametrize("name", ["reasoning", "single"])
def test_prompts_end_with_the_caption_and_the_rule(name):
    messages = load_prompt(name).render(caption="a {relative_caption} cat", relative_caption="is {caption}")
    assert "a {relative_caption} cat" in messages[-1]["content"] and "is {caption}" in messages[-1]["content"]
    assert [m["role"] for m in messages][0::2][1:] == ["assistant"] * (len(messages) // 2 - 1)


def test_the_reasoning_prompt_has_the_divergent_form():
    assert load_prompt("reasoning").render(caption="a cat", relative_caption="it is black")[-1]["content"] == (
        "Given an image of a cat, we show it is black."
    )


def test_wrong_prompt_files_are_named(tmp_path):
    (tmp_path / "p.yaml").write_text("user: Given {picture}")
    with pytest.raises(InputError, match=r"p\.yaml.*'user'.*\{picture\}"):
        load_prompt(str(tmp_path / "p.yaml"))
    (tmp_path / "all.yaml").write_text("user: One of {captions}")
    assert load_prompt(str(tmp_path / "all.yaml"))
    with pytest.raises(InputError, match=r"all\.yaml.*'user'.*\{captions\}.*caption, relative_caption"):
        load_prompt(str(tmp_path / "all.yaml"), PER_CAPTION)  # reasoning asks for each caption by itself
    with pytest.raises(InputError, match="reasoning"):
        load_prompt("no_such_prompt")
