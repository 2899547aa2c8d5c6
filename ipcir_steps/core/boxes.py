"""Boxes x1, y1, x2, y2 as fractions of the image."""

Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    shared = overlap(a, b)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def clip(box: Box) -> Box:
    """The part of a box inside the image."""
    return tuple(min(max(value, 0.0), 1.0) for value in box)
