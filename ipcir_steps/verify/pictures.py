"""Pictures as a chat model is shown them, the same pixels for every engine; candidates numbered on a grid."""

import base64
import io
import math
from collections.abc import Sequence

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from ipcir_steps.core.images import scaled

BAND = 0.12  # height of the strip that holds a number, as a share of the tile's side
PAPER, INK = "white", "black"
Images = Sequence[PIL.Image.Image]


def grid(images: Images, longest: int) -> PIL.Image.Image:
    """The images on white in rows, as square as it gets, each below its number (from 1); RGB, ``longest`` pixels wide
    at most. Images keep their shape."""
    columns = math.ceil(math.sqrt(len(images)))
    side = max(longest // columns, 16)
    band = max(round(BAND * side), 12)
    rows = math.ceil(len(images) / columns)
    sheet = PIL.Image.new("RGB", (columns * side, rows * (side + band)), PAPER)
    pen, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(band * 0.8)
    for number, image in enumerate(images):
        left, top = number % columns * side, number // columns * (side + band)
        pen.text((left + side / 2, top + band / 2), str(number + 1), fill=INK, font=font, anchor="mm")
        small = scaled(image, side - 2)
        sheet.paste(small, (left + (side - small.width) // 2, top + band + (side - small.height) // 2))
    return sheet


def data_url(image: PIL.Image.Image) -> str:
    """As an OpenAI-compatible server takes it: PNG, without loss."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def messages(pictures: Images, text: str) -> list[dict]:
    """A question about pictures, as an OpenAI-compatible server takes it, and vLLM."""
    shown = [{"type": "image_url", "image_url": {"url": data_url(picture)}} for picture in pictures]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]
