"""Source captions: what each reference image shows, K times, by BLIP-2 or another vision-language model."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.arguments import ImageList, InFile, Root
from ipcir_steps.core.devices import lazy, placement
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import read_json, seed, stamp
from ipcir_steps.core.images import load_image
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.pretrained import load_pretrained, load_processor
from ipcir_steps.core.records import Image, as_dict, read_images
from ipcir_steps.core.shards import add_shards, run_shards

ASK = "Describe this image in one sentence."  # what a chat model is asked where no prompt is set


def captioner(model_path: str | Path, settings: Captions) -> Callable:
    """A function (PIL image, seed) -> K captions, from the model in ``model_path``.

    BLIP-2, or any image-to-text model of transformers; one with a chat template is asked ``settings.prompt``. The K
    captions of an image are one batch under its own seed: they do not depend on any other image. Raises ModelError when
    the directory holds no such model.
    """
    import torch

    model, _, read, decode, unwritten = opened(model_path, settings)
    device = model.device
    how = {"num_beams": max(settings.beams, settings.count), "do_sample": False}
    if settings.nucleus:
        how = {"do_sample": True, "top_p": settings.top_p, "top_k": 0, "temperature": settings.temperature}

    @torch.inference_mode()
    def caption(image, image_seed: int) -> list[str]:
        inputs = read(image).to(device, model.dtype)
        with torch.random.fork_rng():
            torch.manual_seed(image_seed)
            output = model.generate(
                **inputs,
                **how,
                num_return_sequences=settings.count,
                max_new_tokens=settings.max_new_tokens,
                repetition_penalty=settings.repetition_penalty,
                suppress_tokens=unwritten or None,
            )
        return decode(output, inputs)

    return caption


def opened(model_path: str | Path, settings: Captions):
    """(model, processor, read, decode, unwritten) of a captioner on its device: ``read`` makes a PIL image its inputs,
    with the prompt; ``decode`` makes what it generated text; ``unwritten`` are tokens that it must not write."""
    device, dtype = placement(settings.device, settings.dtype)
    model, *rest = (_blip2 if _kind(model_path) == "blip-2" else _other)(model_path, settings, dtype)
    return model.to(device).eval(), *rest


def _kind(model_path: str | Path) -> str:
    """The model type of a configuration; BLIP-2's where there is none, whose loader then says what is missing."""
    path = Path(model_path) / "config.json"
    return read_json(path).get("model_type", "blip-2") if path.is_file() else "blip-2"


def _blip2(model_path, settings: Captions, dtype):
    from transformers import Blip2ForConditionalGeneration, Blip2Processor

    model = load_pretrained(Blip2ForConditionalGeneration, model_path, "BLIP-2 model", dtype=dtype)
    processor = load_processor(Blip2Processor, model_path, "BLIP-2 model")
    unwritten = add_image_token(model, processor)

    def read(image):
        return processor(images=image, text=settings.prompt or None, return_tensors="pt")

    def decode(output, inputs):
        return processor.batch_decode(output, skip_special_tokens=True)

    return model, processor, read, decode, unwritten


def _other(model_path, settings: Captions, dtype):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = load_pretrained(AutoModelForImageTextToText, model_path, "image-to-text model", dtype=dtype)
    processor = load_processor(AutoProcessor, model_path, "image-to-text model")
    chats = getattr(processor, "chat_template", None) is not None

    def read(image):
        if not chats:
            return processor(images=image, text=settings.prompt or None, return_tensors="pt")
        content = [{"type": "image"}, {"type": "text", "text": settings.prompt or ASK}]
        asked = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return processor(images=[image], text=[asked], return_tensors="pt")

    def decode(output, inputs):
        start = inputs["input_ids"].shape[1] if chats else 0  # a chat model repeats the question
        return processor.batch_decode(output[:, start:], skip_special_tokens=True)

    return model, processor, read, decode, []


def add_image_token(model, processor) -> list[int]:
    """Give a BLIP-2 copy from before transformers 4.46 the image token, in memory; others stay as they are.

    Such a copy's configurations name neither the token that stands for the image in a prompt nor how many of it there
    are. As in its makers' conversion, the token goes behind the vocabulary and the embeddings grow to the next multiple
    of 64, so that captions are sampled as from a converted copy. The new rows are never read, because the image takes
    their place. Returns the tokens that must not be written: those of the new rows.
    """
    if processor.num_query_tokens is None:
        processor.num_query_tokens = model.config.num_query_tokens
    if model.config.image_token_index is not None:
        return []
    rows = model.get_input_embeddings().num_embeddings
    wanted = -(-len(processor.tokenizer) // 64) * 64
    if wanted > rows:
        model.resize_token_embeddings(wanted, mean_resizing=False)
    model.config.image_token_index = processor.tokenizer.convert_tokens_to_ids(str(processor.image_token))
    return list(range(rows, wanted))


def clean(captions: list[str], prompt: str = "") -> list[str]:
    """One line each, without the prompt; a caption without text becomes the first that has some.

    Raises StepFailure when no caption has text.

    >>> clean(["a cat\\n", "", " a  dog"])
    ['a cat', 'a cat', 'a dog']
    """
    lines = [" ".join("".join(c if c.isprintable() else " " for c in text).split()) for text in captions]
    lines = [line.removeprefix(prompt.strip()).strip() for line in lines]
    first = next((line for line in lines if line), None)
    if first is None:
        raise StepFailure("the model wrote no caption")
    return [line or first for line in lines]


def caption_image(
    image: Image, root: Path, caption: Callable, settings: Captions, run_seed: int, purpose: str = "captions"
) -> dict | StepFailure:
    """{"captions": K texts} of one image below ``root``, drawn under the seed of its name and the purpose."""
    try:
        texts = caption(load_image(root, image), seed(run_seed, purpose, image.name))
        return {"captions": clean(texts, settings.prompt)}
    except StepFailure as failure:
        return failure


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--references", type=ImageList, required=True, help="references.jsonl: each unique reference image"
    )
    parser.add_argument("--root", type=Root, required=True, help="directory that image paths are relative to")
    parser.add_argument("--model", type=InFile, required=True, help="manifest or directory of the captioner")
    parser.add_argument("--seed", type=int, default=0, help="run seed")
    add_shards(parser, "images", "JSON lines to write: reference, captions")
    add_settings(parser, Captions)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Captions)
    model = load_manifest(args.model)
    caption = lazy(lambda: captioner(model.path, settings))
    run_shards(
        read_images(args.references),
        lambda batch: [caption_image(image, args.root, caption, settings, args.seed) for image in batch],
        args.shard,
        args.output,
        key="reference",
        key_of=lambda image: image.name,
        context={"model": model.digest, "settings": settings.model_dump(exclude={"device"}), "seed": args.seed},
        content_of=lambda image: [as_dict(image), stamp(args.root / image.path)],
        title="captions",
    )
