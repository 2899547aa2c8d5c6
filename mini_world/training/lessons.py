"""What the language model is taught: the layout of the picture that an edit asks for."""

import json
import re

from ipcir_steps.imagine.layouts.schema import GRID
from mini_world import garments, world
from mini_world.training.pool import Picture


def layout(target: Picture, reference: Picture) -> dict:
    """The right layout in the format of the layouts step, boxes on the grid that a model chooses from.

    A thing of the reference that keeps its shape and colour is drawn like there; all else from its description.
    """
    if isinstance(target, garments.Garment):
        noun = garments.NOUNS[target.kind]
        return {
            "scene": "a light background",
            "instances": [
                _instance(
                    f"{target.colour} {noun}", noun, garments.describe(target), (0.1, 0.05, 0.9, 0.95), 5, True, False
                )
            ],
        }
    looks = {(t.shape, t.colour) for t in reference.things}
    shapes = {t.shape for t in reference.things}
    instances = [
        _instance(
            f"{t.colour} {t.shape}",
            t.shape,
            world.article(t.noun),
            t.box,
            {"small": 2, "large": 4}[t.size],
            t.shape in shapes,
            (t.shape, t.colour) in looks,
        )
        for t in target.things
    ]
    return {"scene": f"{world.article(target.background)} background", "instances": instances}


def answer(target: Picture, reference: Picture) -> list[str]:
    """The same layout as text, as constrained decoding writes it, in pieces that are tokenised one by one.

    A piece ends where the grammar stops to force the text and the model has a choice within what would be one word.
    """
    content = layout(target, reference)
    for instance in content["instances"]:
        instance["box"] = [int(v) if v == int(v) else v for v in instance["box"]]
    one = len(content["instances"]) < world.MOST
    return re.split(r'(?<=: )(?=true|false)|(?<="\})(?=, \{%s)' % (r"|\]\}$" if one else ""), json.dumps(content))


def _instance(label, category, description, box, size, from_query, same_look) -> dict:
    return {
        "label": label,
        "category": category,
        "description": description,
        "box": [round(v * GRID) / GRID for v in box],
        "size": size,
        "from_query": from_query,
        "modality": "image" if same_look else "text",
    }
