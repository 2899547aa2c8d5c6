"""Masks of what an imagined image takes over from its reference: Grounding DINO finds it, SAM cuts it out."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.vision import Masks
from ipcir_steps.core.arguments import ImageList, InFile, Root, Scratch
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.devices import lazy, placement
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import read_jsonl, sha256, stamp
from ipcir_steps.core.images import load_image
from ipcir_steps.core.manifests import Manifest, load_manifest
from ipcir_steps.core.masks import encode_rle
from ipcir_steps.core.pretrained import load_pretrained, load_processor
from ipcir_steps.core.records import Image, Query, as_dict, read_images, read_queries
from ipcir_steps.core.shards import add_shards, run_shards


def segmenter(detector_path: str | Path, segmenter_path: str | Path, settings: Masks) -> Callable:
    """A function (PIL image, category) -> {"rle", "box": fractions, "score"} or {"reason"}.

    Raises ModelError when a directory does not hold a Grounding DINO or a SAM model.
    """
    import torch
    from transformers import AutoProcessor, GroundingDinoForObjectDetection, SamModel, SamProcessor

    device, dtype = placement(settings.device, settings.dtype)
    find = load_pretrained(GroundingDinoForObjectDetection, detector_path, "Grounding DINO model", dtype=dtype)
    cut = load_pretrained(SamModel, segmenter_path, "SAM model", dtype=dtype)
    find, cut = find.to(device).eval(), cut.to(device).eval()
    find_processor = load_processor(AutoProcessor, detector_path, "Grounding DINO model")
    cut_processor = load_processor(SamProcessor, segmenter_path, "SAM model")

    @torch.inference_mode()
    def detect(image, category: str):
        """(box in pixels, score) of the most certain detection, or None."""
        inputs = find_processor(images=image, text=f"{category.lower().strip(' .')}.", return_tensors="pt")
        inputs = inputs.to(device, dtype)
        found = find_processor.post_process_grounded_object_detection(
            find(**inputs),
            inputs["input_ids"],
            threshold=settings.box_threshold,
            text_threshold=settings.text_threshold,
            target_sizes=[(image.height, image.width)],
        )[0]
        if len(found["scores"]) == 0:
            return None
        best = int(found["scores"].argmax())
        return found["boxes"][best].cpu(), float(found["scores"][best])

    @torch.inference_mode()
    def segment(image, category: str) -> dict:
        detection = detect(image, category)
        if detection is None:
            return {"reason": f"no '{category}' found with a score of at least {settings.box_threshold}"}
        box, score = detection
        size = torch.tensor([image.width, image.height, image.width, image.height])
        box = torch.minimum(box.clamp(min=0), size)
        if not (box[0] < box[2] and box[1] < box[3]):
            return {"reason": f"the box of '{category}' lies outside the image"}
        inputs = cut_processor(image, input_boxes=[[box.tolist()]], return_tensors="pt").to(device)
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)  # pixel coordinates stay exact
        output = cut(**inputs, multimask_output=settings.best_of_three)
        masks = cut_processor.image_processor.post_process_masks(
            output.pred_masks.float().cpu(), inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
        )
        rated = int(output.iou_scores.flatten().argmax())
        mask = masks[0].reshape(-1, image.height, image.width)[rated].numpy()
        if not mask.any():
            return {"reason": f"the mask of '{category}' is empty"}
        fractions = [round(value, 6) for value in (box / size).tolist()]
        return {"rle": encode_rle(mask), "box": fractions, "score": round(score, 6)}

    return segment


class Store:
    """Masks by (image, category): each pair is segmented once, also across queries and, with a cache, across runs."""

    def __init__(self, segment: Callable, root: Path, images: dict[str, Image], cache: Cache, identity: list):
        self.segment, self.root, self.images, self.cache, self.identity = segment, root, images, cache, identity
        self._made: dict[tuple[str, str], dict] = {}

    def stamp(self, reference: str) -> list[int] | None:
        return stamp(self.root / self.images[reference].path) if reference in self.images else None

    def mask(self, reference: str, category: str) -> dict:
        """Raises StepFailure when the reference image is missing or unreadable."""
        pair = (reference, category.lower())
        if pair not in self._made:
            if reference not in self.images:
                raise StepFailure(f"reference image {reference!r} is not in the list of references")
            image = load_image(self.root, self.images[reference])
            key = [*self.identity, sha256(self.root / self.images[reference].path), pair[1]]
            mask = self.cache.get(key)
            if mask is None:
                mask = self.segment(image, pair[1])
                self.cache.put(key, mask)
            self._made[pair] = mask
        return self._made[pair]


def identity_of(detector: Manifest, cutter: Manifest, settings: Masks) -> list:
    """What a mask depends on beside the image and the category."""
    identity = [detector.digest, cutter.digest, settings.box_threshold, settings.text_threshold, settings.dtype]
    return [*identity, "best of three"] if settings.best_of_three else identity


def query_masks(query: Query, layout: dict | None, store: Store) -> dict | StepFailure:
    """{"masks": one entry per image-modality instance of the layout}; see ``segmenter`` for an entry."""
    if layout is None:
        return StepFailure("no layout")
    masks = []
    try:
        for number, instance in enumerate(layout["instances"]):
            if instance["modality"] == "image":
                category = instance["category"]
                masks.append({"instance": number, "category": category, **store.mask(query.reference, category)})
    except StepFailure as failure:
        return failure
    return {"masks": masks}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl")
    parser.add_argument("--layouts", type=InFile, required=True, help="layouts.jsonl")
    parser.add_argument("--references", type=ImageList, required=True, help="references.jsonl")
    parser.add_argument("--root", type=Root, required=True, help="directory that image paths are relative to")
    parser.add_argument(
        "--detector", type=InFile, required=True, help="manifest or directory of a Grounding DINO model"
    )
    parser.add_argument("--segmenter", type=InFile, required=True, help="manifest or directory of a SAM model")
    parser.add_argument("--cache", type=Scratch, help="directory of masks that were made before; default: none")
    parser.add_argument("--seed", type=int, default=0, help="accepted as by every step; nothing here is random")
    add_shards(parser, "queries", "JSON lines to write: query_id, masks")
    add_settings(parser, Masks)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Masks)
    detector, cutter = load_manifest(args.detector), load_manifest(args.segmenter)
    layouts = {record["query_id"]: record for record in read_jsonl(args.layouts) if "instances" in record}
    images = {image.name: image for image in read_images(args.references)}
    identity = identity_of(detector, cutter, settings)
    segment = lazy(lambda: segmenter(detector.path, cutter.path, settings))
    store = Store(segment, args.root, images, Cache(args.cache), identity)
    run_shards(
        read_queries(args.queries),
        lambda batch: [query_masks(query, layouts.get(query.query_id), store) for query in batch],
        args.shard,
        args.output,
        key="query_id",
        key_of=lambda query: query.query_id,
        context={"models": identity},
        content_of=lambda query: [as_dict(query), layouts.get(query.query_id), store.stamp(query.reference)],
        title="masks",
    )
