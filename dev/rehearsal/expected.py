"""What the plan says of a step of the rehearsal: operations, memory, and what its rule asks for."""

import contextlib
import json
import re
from pathlib import Path

from dev.rehearsal.settings import LAYOUT, REQUEST, SPLIT
from dev.rehearsal.steps import Step
from ipcir_steps.config import Resolved
from ipcir_steps.runtime.plan.memory import megabytes, need
from ipcir_steps.runtime.plan.operations import Counts, decoding
from ipcir_steps.runtime.plan.work import Typical

RULES = Path(__file__).parents[2] / "rules"
CAPTIONS = f"{SPLIT}/source_captions.jsonl"


def expected(step: Step, config: Resolved, directory: Path) -> dict:
    """{host, mem_mb, operations}: bytes, MB (10^6), operations; what the plan does not tell is None.

    Looks at the models and results of ``directory``, so it is asked after the step and before its models go.
    """
    with contextlib.chdir(directory):
        if step.planned is None:
            return {"host": None, "mem_mb": asked(step.rule), "operations": None}
        config = step.of(config)
        found = {"backbone": step.backbone, "device": "cpu"}
        needed = need(config, step.planned, "cpu", step.backbone).host
        return {
            "host": needed,
            "mem_mb": megabytes(config, step.planned, **found),
            "operations": operations(step, config),
        }


def asked(rule: str) -> int | None:
    """``mem_mb`` of a rule that asks for the same whatever runs."""
    for path in sorted(RULES.glob("*.smk")):
        for part in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            found = re.search(r"mem_mb=growing\((\d+)\)", part)
            if part.startswith(f"{rule}:") and found:
                return int(found[1])
    return None


def operations(step: Step, config: Resolved) -> float | None:
    """Of the whole step, with the layout, the photograph and the lengths of text that it met."""
    counts = Counts(config, met(config))
    if step.planned in ("reasoning", "layouts"):
        return answering(step.planned, config, counts)
    if step.planned == "features":
        kind = counts.text if "captions" in step.name else counts.image
        return rows(Path(step.output)) * total(kind(step.backbone))
    if step.planned == "baseline":
        return None  # sums of features on the CPU's vector units: no model
    times = config.proxies.count if step.planned == "proxies" else 1
    return times * total(getattr(counts, step.planned)())


def met(config: Resolved) -> Typical:
    """What the plan has to assume of the data, as it was here. Random weights never end a text."""
    from PIL import Image

    photo = json.loads(Path(f"{SPLIT}/references.jsonl").read_text().splitlines()[0])
    with Image.open(Path("photos") / photo["path"]) as image:
        picture = (image.height, image.width)
    masked = [instance for instance in LAYOUT["instances"] if instance["modality"] == "image"]
    return Typical(
        caption_tokens=config.captions.max_new_tokens,
        instances=len(LAYOUT["instances"]),
        from_reference=len(masked),
        masks_per_query=len(masked),
        picture=picture,
    )


def total(works) -> float:
    return sum(work.operations for work in works)


def rows(path: Path) -> int:
    """Images or texts that a file of features holds."""
    with open(path, "rb") as file:
        shape = json.loads(file.read(int.from_bytes(file.read(8), "little")))["features"]["shape"]
    return shape[0] * (shape[1] if len(shape) == 3 else 1)


def answering(name: str, config: Resolved, counts: Counts) -> float:
    """The tokens of the real prompts; each answer as long as it may be."""
    from transformers import AutoTokenizer

    from ipcir_steps.imagine.llm.prefix import shared_start

    tokenizer = AutoTokenizer.from_pretrained("models/llm", local_files_only=True)

    def tokens(conversation: list[dict]) -> list[int]:
        text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    asked = conversations(name, config)
    prompts = [tokens(conversation) for conversation in asked]
    shared = len(shared_start(asked[0], prompts, tokens))
    longest = max(map(len, prompts)) - shared
    model = counts.model("llm")
    start = decoding(model, 1, shared, 1)[0] if shared else 0
    return start + sum(decoding(model, len(prompts), longest, getattr(config, name).max_new_tokens, shared))


def conversations(name: str, config: Resolved) -> list[list[dict]]:
    """As the step asks them."""
    from ipcir_steps.imagine.llm.prompts import load_prompt

    captions = json.loads(Path(CAPTIONS).read_text().splitlines()[0])["captions"]
    prompt = load_prompt(getattr(config, name).prompt)
    if name == "reasoning":
        return [prompt.render(caption=caption, relative_caption=REQUEST) for caption in captions]
    from ipcir_steps.imagine.layouts.step import conversation

    return [conversation(prompt, captions[: config.layouts.captions], REQUEST)]
