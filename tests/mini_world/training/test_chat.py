"""The chat model learns what its steps ask, as they ask it, and goes on where it was stopped."""

import json
import random

import pytest
import torch

from ipcir_steps.core.files import dumps
from ipcir_steps.imagine.layouts import decoding_schema, parse_layout
from mini_world import models, shipped, tokenizers
from mini_world.training import chat, lessons, pool
from mini_world.training.loop import train


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tokenizers.qwen(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def small_pool(monkeypatch):
    pairs = pool.pairs(3, 300)
    monkeypatch.setattr(pool, "pairs", lambda seed: pairs)


@pytest.mark.slow
def test_a_short_training_lowers_the_loss_and_a_stopped_one_ends_the_same(
    tmp_path, killed_and_resumed, tokenizer, small_pool
):
    def recipe():
        return chat.recipe(tokenizer, seed=3, steps=60, batch=(4, 2))

    whole = train(recipe(), tmp_path / "whole", seed=3)
    curve = [json.loads(line) for line in (tmp_path / "whole/curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [50, 60]
    assert all(curve[1][task] < 0.8 * curve[0][task] for task in ("captions", "layouts"))

    again = killed_and_resumed(recipe, 3, 20)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_layouts_are_tokenised_as_constrained_decoding_writes_them(tokenizer):
    """A model that always chooses the lesson's next token writes exactly the lesson."""
    xgrammar = pytest.importorskip("xgrammar")
    from ipcir_steps.config import Config
    from ipcir_steps.imagine.llm.grammar import shortest_numbers

    settings = Config().stacks["mini"].layouts
    schema = dumps(decoding_schema(settings.max_instances, settings.max_text))
    ebnf = shortest_numbers(str(xgrammar.Grammar.from_json_schema(schema, any_whitespace=False)))
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
    grammar = xgrammar.GrammarCompiler(info, cache_enabled=False).compile_grammar(xgrammar.Grammar.from_ebnf(ebnf))
    rng = random.Random(7)
    for _ in range(100):
        pair = pool.pair(rng)
        pieces = chat.layout_lesson(pair, 0)[1]
        lesson = [i for ids in tokenizer(pieces, add_special_tokens=False)["input_ids"] for i in ids]
        matcher, written = xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True), []
        while not matcher.is_terminated():
            assert matcher.accept_token(lesson[len(written)])
            written.append(lesson[len(written)])
            if not matcher.is_terminated():
                forced = tokenizer(matcher.find_jump_forward_string(), add_special_tokens=False)["input_ids"]
                assert all(map(matcher.accept_token, forced))
                written += forced
        assert written == lesson
        layout = parse_layout(tokenizer.decode(written)).as_dict()
        assert layout == lessons.layout(pair[1], pair[0])


def test_only_the_answer_is_learned(tokenizer):
    pair = pool.pair(random.Random(1))
    asked, pieces = chat.caption_lesson(pair, 2)
    ids, written = chat.encode(tokenizer, [(asked, pieces), chat.layout_lesson(pair, 2)])
    assert tokenizer.decode(ids[0][written[0]]) == pool.describe(pair[1], 2) + "<|im_end|>"
    prompt = tokenizer.decode(ids[0][: int(written[0].int().argmax())])
    assert prompt == tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    assert json.loads(tokenizer.decode(ids[1][written[1]])) == lessons.layout(pair[1], pair[0])


@pytest.mark.skipif(not (shipped.SHIPPED / "qwen.safetensors").is_file(), reason="no weights are shipped yet")
def test_the_shipped_model_edits_captions_and_plans_layouts(tmp_path):
    models.qwen(tmp_path / "qwen", shipped.SHIPPED)
    figures = chat.evaluate(tmp_path, seed=2025, count=40)
    assert min(figures.values()) >= 0.95, figures
