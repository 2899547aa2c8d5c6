"""``--settings``: JSON text or a file, and a mistake in either is named."""

import argparse

import pytest

from ipcir_steps.config.language import Reasoning
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.errors import InputError


def test_text_and_file_are_the_same(tmp_path):
    text = '{"max_new_tokens": 7}'
    (tmp_path / "s.json").write_text(text)
    assert read_settings(text, Reasoning) == read_settings(str(tmp_path / "s.json"), Reasoning)
    assert read_settings(text, Reasoning).max_new_tokens == 7 and read_settings("{}", Reasoning) == Reasoning()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"max_new_tokens": 0}', r"--settings.*max_new_tokens.*got 0"),
        ('{"max_new_tokns": 7}', r"--settings.*max_new_tokns.*got 7"),
        ('{"max_new_tokens": "7"}', r"--settings.*max_new_tokens.*got \"7\""),
        ('{"max_new_tokens": ', r"--settings"),
    ],
)
def test_a_mistake_is_named_with_its_value(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_settings(text, Reasoning)
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(InputError, match=message.replace("--settings", "s.json")):
        read_settings(str(tmp_path / "s.json"), Reasoning)


def test_help_explains_every_setting():
    parser = argparse.ArgumentParser()
    add_settings(parser, Reasoning)
    assert all(f"  {name}: " in parser.format_help() for name in Reasoning.model_fields)
