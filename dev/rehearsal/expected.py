"""What the plan says of a step of the rehearsal: operations, memory, and what its rule asks for."""

import dataclasses
import json
import re
from pathlib import Path

from dev.rehearsal.settings import LAYOUT, REQUEST, SPLIT
from dev.rehearsal.steps import Step
from ipcir_steps.config import Resolved
from ipcir_steps.runtime.plan.memory import megabytes, need
from ipcir_steps.runtime.plan.operations import Counts, decoding
from ipcir_steps.runtime.plan.weights import models_of, weights
from ipcir_steps.runtime.plan.work import Typical

RULES = Path(__file__).parents[2] / "rules"
CAPTIONS = f"{SPLIT}/source_captions.jsonl"


@dataclasses.dataclass(frozen=True)
class Met:
    """What the plan assumes of the data, as it was here. picture: height, width of the photograph; rows: images or
    texts of a file of features; answers, shared, own: prompts of a language step, tokens that all of them begin with,
    tokens of the longest rest; new: of each answer."""

    picture: tuple[int, int] = (480, 640)
    rows: int = 0
    answers: int = 0
    shared: int = 0
    own: int = 0
    new: int = 0


def expected(step: Step, config: Resolved, tokens: int | None) -> dict:
    """{need, mem_mb, operations, met, weights}: bytes, MB (10^6), operations; what the plan does not tell is None.

    tokens: that its language model read. Looks at the models and results of the working directory, so it is asked after
    the step, before its models go.
    """
    if step.planned is None:
        return {"need": None, "mem_mb": asked(step.rule), "operations": None, "met": None, "weights": {}}
    met = looked_at(step, config, tokens)
    found = {role: weights(role, source, path) for role, source, path in models_of(config, step.planned, step.backbone)}
    return {
        **memory(step, config),
        "operations": operations(step, config, met, Counts(config, typical(config, met))),
        "met": dataclasses.asdict(met),
        "weights": {role: dataclasses.asdict(one) for role, one in found.items() if one},
    }


def memory(step: Step, config: Resolved) -> dict:
    """{need: bytes of the step on a CPU, mem_mb: what its rule asks for}."""
    kind = {"backbone": step.backbone, "baseline": step.baseline}
    return {
        "need": need(config, step.planned, "cpu", **kind).host,
        "mem_mb": megabytes(config, step.planned, device="cpu", **kind),
    }


def asked(rule: str) -> int | None:
    """``mem_mb`` of a rule that asks for the same whatever runs."""
    for path in sorted(RULES.glob("*.smk")):
        found = re.search(rf"^rule {rule}:.*?mem_mb=growing\((\d+)\)", path.read_text(), re.MULTILINE | re.DOTALL)
        if found:
            return int(found[1])
    return None


def looked_at(step: Step, config: Resolved, tokens: int) -> Met:
    """Of the step's inputs and results."""
    from PIL import Image

    if step.planned.endswith("_features"):
        return Met(rows=rows(Path(step.output)))
    if step.planned in ("reasoning", "layouts"):
        return Met(**lengths(step.planned, config, tokens))
    if step.planned == "masks":
        photo = json.loads(Path(f"{SPLIT}/references.jsonl").read_text().splitlines()[0])
        with Image.open(Path("photos") / photo["path"]) as image:
            return Met(picture=(image.height, image.width))
    return Met()


def typical(config: Resolved, met: Met) -> Typical:
    """Random weights never end a text."""
    masked = [instance for instance in LAYOUT["instances"] if instance["modality"] == "image"]
    return Typical(
        caption_tokens=config.captions.max_new_tokens,
        instances=len(LAYOUT["instances"]),
        from_reference=len(masked),
        masks_per_query=len(masked),
        picture=met.picture,
    )


def operations(step: Step, config: Resolved, met: Met, counts: Counts) -> float | None:
    """Of the whole step; None where only features are summed."""
    if step.planned in ("reasoning", "layouts"):
        model = counts.model("llm")
        start = decoding(model, 1, met.shared, 1)[0] if met.shared else 0
        return start + sum(decoding(model, met.answers, met.own, met.new, met.shared))
    if step.planned.endswith("_features"):
        kind = counts.text if step.planned == "text_features" else counts.image
        return met.rows * total(kind(step.backbone))
    if step.planned == "baseline":
        return None
    times = config.proxies.count if step.planned == "proxies" else 1
    return times * total(getattr(counts, step.planned)())


def total(works) -> float:
    return sum(work.operations for work in works)


def rows(path: Path) -> int:
    """Images or texts that a file of features holds."""
    with open(path, "rb") as file:
        shape = json.loads(file.read(int.from_bytes(file.read(8), "little")))["features"]["shape"]
    return shape[0] * (shape[1] if len(shape) == 3 else 1)


def lengths(name: str, config: Resolved, read: int) -> dict[str, int]:
    """{answers, shared, own, new} in tokens of the model's own tokenizer. What a grammar forces is read with the token
    before it, beyond ``max_new_tokens``; the last token of an answer is not read."""
    from transformers import AutoTokenizer

    from ipcir_steps.imagine.llm.prefix import shared_start

    tokenizer = AutoTokenizer.from_pretrained("models/llm", local_files_only=True)

    def tokens_of(conversation: list[dict]) -> list[int]:
        text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    asked = conversations(name, config)
    prompts = [tokens_of(conversation) for conversation in asked]
    shared = len(shared_start(asked[0], prompts, tokens_of))
    own = max(map(len, prompts)) - shared
    new = 1 + round((read - shared) / len(prompts) - own)
    return {"answers": len(prompts), "shared": shared, "own": own, "new": new}


def conversations(name: str, config: Resolved) -> list[list[dict]]:
    """As the step asks them."""
    from ipcir_steps.imagine.llm.prompts import load_prompt

    captions = json.loads(Path(CAPTIONS).read_text().splitlines()[0])["captions"]
    prompt, asked = load_prompt(getattr(config, name).prompt), {"relative_caption": REQUEST}
    if name == "reasoning":
        return [prompt.render(caption=caption, **asked) for caption in captions]
    shown = "; ".join(list(dict.fromkeys(captions))[: config.layouts.captions])
    return [prompt.render(caption=captions[0], captions=shown, **asked)]
