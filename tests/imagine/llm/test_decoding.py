"""Decoding many answers side by side: each is the one that its prompt and its seed give alone."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ipcir_steps.imagine.layouts import decoding_schema, parse_layout
from ipcir_steps.imagine.llm.decoding import Decoder, Row, sample
from ipcir_steps.imagine.llm.grammar import ConstrainedRow, Grammars
from ipcir_steps.imagine.llm.prefix import common

TEXTS = [
    "a dog",
    "a red dress with long sleeves and a collar",
    "two cats on a sofa",
    "it",
    "a man rides a horse on a beach",
]


@pytest.fixture(scope="module")
def loaded(llm):
    """In double precision: sums taken in another order then still choose the same tokens."""
    model = AutoModelForCausalLM.from_pretrained(llm, dtype=torch.float64).eval()
    return model, AutoTokenizer.from_pretrained(llm)


def prompts(tokenizer):
    return [tokenizer(f"Edit the caption. Keep the rest. {text}")["input_ids"] for text in TEXTS]


def decoded(loaded, rows, together, prefix=(), temperature=1.0, top_p=0.9):
    decoder = Decoder(loaded[0], temperature, top_p, pad=0)
    for part in [rows] if together else [[row] for row in rows]:
        decoder.run(part, prefix)
    return [row.written for row in rows]


def free(loaded, limit=12):
    return [Row(prompt, seed, limit, frozenset()) for seed, prompt in enumerate(prompts(loaded[1]))]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_is_the_same_alone_and_in_any_company(loaded, temperature):
    alone = decoded(loaded, free(loaded), together=False, temperature=temperature)
    assert decoded(loaded, free(loaded), together=True, temperature=temperature) == alone
    assert decoded(loaded, free(loaded)[::-1][:3], together=True, temperature=temperature) == alone[::-1][:3]
    assert all(len(written) == 12 for written in alone) and len(set(map(tuple, alone))) == len(TEXTS)


def test_the_common_beginning_is_computed_once_and_changes_nothing(loaded):
    shared = common(prompts(loaded[1]))
    assert len(shared) >= 6
    read = []
    handle = (
        loaded[0].get_input_embeddings().register_forward_hook(lambda _, inputs, __: read.append(inputs[0].numel()))
    )
    plain = decoded(loaded, free(loaded), together=True)
    without = sum(read)
    read.clear()
    assert decoded(loaded, free(loaded), together=True, prefix=shared) == plain
    handle.remove()
    assert sum(read) == without - (len(TEXTS) - 1) * len(shared)


def test_rows_end_one_by_one(loaded):
    whole = decoded(loaded, free(loaded), together=False)
    stop = whole[0][3]
    rows = [Row(row.prompt, seed, 12, frozenset({stop})) for seed, row in enumerate(free(loaded))]
    written = decoded(loaded, rows, together=True)
    for full, short in zip(whole, written, strict=True):
        assert short == (full[: full.index(stop)] if stop in full else full)
    assert len(written[0]) <= 3


def test_constrained_answers_are_the_same_alone_and_together_and_all_valid(loaded):
    model, tokenizer = loaded
    grammars, schema = Grammars(tokenizer, model.config.vocab_size), json.dumps(decoding_schema(2, 16))

    def rows():
        return [ConstrainedRow(p, seed, 60, grammars, schema) for seed, p in enumerate(prompts(tokenizer))]

    alone = decoded(loaded, rows(), together=False)
    assert decoded(loaded, rows(), together=True) == alone
    assert len({len(written) for written in alone}) > 1, "they end at different lengths"
    for written in alone:
        parse_layout(tokenizer.decode(written, skip_special_tokens=True))


def test_text_that_the_grammar_forces_costs_no_step_of_its_own(loaded):
    model, tokenizer = loaded
    grammars, schema = Grammars(tokenizer, model.config.vocab_size), json.dumps(decoding_schema(2, 16))
    row = ConstrainedRow(prompts(tokenizer)[0], 1, 60, grammars, schema)
    steps = []
    handle = model.register_forward_hook(lambda *_: steps.append(1))
    decoded(loaded, [row], together=True)
    handle.remove()
    assert len(steps) < 0.7 * len(row.written)


def test_the_nucleus_holds_the_most_probable_tokens_only():
    torch.manual_seed(0)
    logits = torch.randn(1, 500)
    probabilities = logits.double().softmax(-1)[0]
    order = probabilities.argsort(descending=True)
    for top_p in (0.05, 0.5, 0.99, 1.0):
        size = int((probabilities[order].cumsum(0) < top_p - 1e-7).sum()) + 1
        nucleus = order[:size]
        points = [(n + 0.5) / 4000 for n in range(4000)]
        drawn = torch.tensor(sample(logits.expand(4000, -1), top_p, points))
        assert set(drawn.tolist()) <= set(nucleus.tolist())
        share = torch.bincount(drawn, minlength=500)[nucleus] / 4000
        wanted = probabilities[nucleus] / probabilities[nucleus].sum()
        assert (share - wanted).abs().max() < 1e-3


def test_seeds_spread_evenly():
    """The share of a token among many seeds is its probability."""
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    rows = [Row([1], seed, 1, frozenset()) for seed in range(3000)]
    points = [float(torch.rand((), generator=row.generator, dtype=torch.float64)) for row in rows]
    drawn = torch.tensor(sample(logits.expand(3000, -1), 1.0, points))
    assert (torch.bincount(drawn) / 3000 - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 0.03
