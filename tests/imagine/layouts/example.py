"""A layout, and what every layout must be."""

DOG = {
    "label": "brown dog",
    "category": "dog",
    "description": "a brown dog asleep",
    "box": [0.1, 0.2, 0.5, 0.9],
    "size": 3.0,
    "from_query": True,
    "modality": "image",
}
LAYOUT = {"scene": "a meadow", "instances": [DOG, {**DOG, "label": "ball", "from_query": False, "modality": "text"}]}


def is_valid(layout: dict) -> bool:
    """Checked without the schema under test."""
    boxes = [i["box"] for i in layout["instances"]]
    return (
        bool(layout["scene"].strip())
        and 1 <= len(boxes) <= 28
        and all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in boxes)
        and all(i[k].strip() for i in layout["instances"] for k in ("label", "category", "description"))
        and all(1 <= i["size"] <= 5 and type(i["from_query"]) is bool for i in layout["instances"])
        and all(i["modality"] == "text" or (i["modality"] == "image" and i["from_query"]) for i in layout["instances"])
    )
