"""The chat model: target captions and layouts, in the prompts of the mini world and as its decoder writes them."""

import functools
import random
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from ipcir_steps.core.files import seed as derive
from ipcir_steps.imagine.llm.prompts import load_prompt
from mini_world import garments, language, tokenizers, world
from mini_world.training import lessons, pool
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.vocabularies import PROMPTS

STEPS = 8000
BATCH = 32, 8  # conversations per step: captions, layouts
SKIPPED = 0.6  # share of pairs left out whose reference is a garment or one thing alone: they are soon learned
EMPHASIS = 3.0  # on layouts, two thirds of which the grammar forces


def run(work: Path, weights: Path, seed: int, images) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tokenizer = tokenizers.qwen(Path(directory))
    write_weights(train(recipe(tokenizer, seed), work, seed), weights / "qwen.safetensors")


def recipe(tokenizer, seed: int, steps: int = STEPS, batch: tuple[int, int] = BATCH) -> Recipe:
    """Fresh pairs at each step, none of which is held out; each in one template and one order of its things."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "mini", "qwen"))
        model = language.chat(tokenizer)
    model.set_attn_implementation("eager")  # with bfloat16 the fastest here
    fast = torch.cpu._is_avx512_bf16_supported()
    held_out = {_key(pair) for pair in pool.pairs(seed)[-pool.HELD_OUT :]}

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
        captions, layouts = [], []
        while len(captions) + len(layouts) < sum(batch):
            pair = pool.pair(rng)
            easy = len(getattr(pair[0], "things", ())) < world.MOST
            if _key(pair) in held_out or (easy and rng.random() < SKIPPED):
                continue
            template = rng.randrange(len(world.TEMPLATES))
            if len(captions) < batch[0]:
                captions.append(caption_lesson(pair, template))
            else:
                layouts.append(layout_lesson(pair, template))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            edit, plan = (_loss(model, *encode(tokenizer, lesson)) for lesson in (captions, layouts))
        return edit + EMPHASIS * plan, {"captions": edit.item(), "layouts": plan.item()}

    return Recipe("qwen", model, loss, steps, learning_rate=3e-3, weight_decay=0.05, warmup=100, average=0.998)


_prompt = functools.cache(load_prompt)


def _key(pair: pool.Pair) -> tuple:
    reference, target, captions = pair
    return reference.key(), target.key(), captions


def caption_lesson(pair: pool.Pair, template: int) -> tuple[list[dict], list[str]]:
    """(conversation, the right answer in pieces that are tokenised one by one) for the reasoning step."""
    reference, target, captions = pair
    prompt = _prompt(PROMPTS[0])
    asked = prompt.render(caption=pool.describe(reference, template), relative_caption=" and ".join(captions))
    return asked, [pool.describe(target, template) + "<|im_end|>"]


def layout_lesson(pair: pool.Pair, template: int) -> tuple[list[dict], list[str]]:
    """The same for the layouts step."""
    reference, target, captions = pair
    prompt = _prompt(PROMPTS[1])
    asked = prompt.render(captions=pool.describe(reference, template), relative_caption=" and ".join(captions))
    return asked, lessons.answer(target, reference)


def encode(tokenizer, conversations: list[tuple[list[dict], list[str]]]) -> tuple[Tensor, Tensor]:
    """Token ids int64 [B, L], padded on the right, and bool [B, L]: which of them the model has to write."""
    texts, places = [], []
    for number, (asked, pieces) in enumerate(conversations):
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        texts += [prompt, *pieces]
        places += [(number, False)] + [(number, True)] * len(pieces)
    rows = [([], []) for _ in conversations]
    for ids, (number, written) in zip(tokenizer(texts, add_special_tokens=False)["input_ids"], places, strict=True):
        rows[number][0].extend(ids)
        rows[number][1].extend([written] * len(ids))
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    written = torch.zeros((len(rows), length), dtype=torch.bool)
    for number, (row, marks) in enumerate(rows):
        ids[number, : len(row)], written[number, : len(row)] = torch.tensor(row), torch.tensor(marks)
    return ids, written


def _loss(model, ids: Tensor, written: Tensor) -> Tensor:
    """Mean cross-entropy over what the model has to write. Nothing attends to the padding on the right."""
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][written[:, 1:]]
    return nn.functional.cross_entropy(model.lm_head(hidden).float(), ids[:, 1:][written[:, 1:]])


def evaluate(models: Path, seed: int, count: int = 400) -> dict[str, float]:
    """Shares of held-out pairs answered rightly by the real steps with the default settings.

    captions: all words right, each in four templates. valid: layouts of all queries; layouts: equal to the right
    one in every field. Apart for scenes and garments.
    """
    from ipcir_steps.config import Config
    from ipcir_steps.core.records import Query
    from ipcir_steps.imagine.layouts import plan
    from ipcir_steps.imagine.llm import open_llm
    from ipcir_steps.imagine.reasoning import target_captions

    stack, pairs = Config().stacks["mini"], pool.pairs(seed)[-pool.HELD_OUT :][:count]
    items, marks = [], {}
    for number, (reference, _, captions) in enumerate(pairs):
        shown = [pool.describe(reference, (number + t) % len(world.TEMPLATES)) for t in range(len(world.TEMPLATES))]
        items.append((Query(str(number), "", captions), shown))
    prompts = [load_prompt(section.prompt) for section in (stack.reasoning, stack.layouts)]
    answers = target_captions(items, prompts[0], open_llm(stack.reasoning, models / "qwen", None), seed)
    backend = open_llm(stack.layouts, models / "qwen", None)
    plans = plan(items, prompts[1], backend, stack.layouts, seed)
    for number, ((reference, target, _), answer, layout) in enumerate(zip(pairs, answers, plans, strict=True)):
        kind = "garments" if isinstance(reference, garments.Garment) else "scenes"
        right = [pool.describe(target, (number + t) % len(world.TEMPLATES)) for t in range(len(world.TEMPLATES))]
        valid = isinstance(layout, dict)
        entirely = valid and {k: layout[k] for k in ("scene", "instances")} == lessons.layout(target, reference)
        given = answer["captions"] if isinstance(answer, dict) else [""] * len(right)
        marks.setdefault(f"captions_{kind}", []).extend(a == b for a, b in zip(given, right, strict=True))
        marks.setdefault(f"valid_{kind}", []).append(valid)
        marks.setdefault(f"layouts_{kind}", []).append(entirely)
    return {name: sum(values) / len(values) for name, values in sorted(marks.items())}
