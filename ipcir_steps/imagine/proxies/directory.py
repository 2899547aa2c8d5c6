"""Ready-made proxies: a folder with {query_id}/{n}.png (or jpg, jpeg, webp) of any origin."""

from pathlib import Path

from PIL import Image

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import inside, used
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.imagine.proxies.generator import Task

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Directory:
    """Takes the images as they are, converted to RGB."""

    def __init__(self, settings: Proxies, models: dict[str, Manifest]):
        if not settings.directory or not Path(settings.directory).is_dir():
            raise InputError(
                f"{settings.directory!r} is not a folder",
                file="--settings",
                field="directory",
                remedy="Set it to the folder that holds {query_id}/{n}.png.",
            )
        self.root = Path(settings.directory)
        self.identity = {"directory": str(self.root)}

    def draw(self, task: Task):
        images = []
        for number in task.numbers or range(len(task.seeds)):
            stem = f"{task.query_id}/{number}"
            paths = [inside(self.root, stem + suffix, field="query_id") for suffix in SUFFIXES]
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                raise StepFailure(f"{self.root / stem}.png does not exist")
            try:
                with Image.open(used(path)) as image:
                    images.append(image.convert("RGB"))
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                raise StepFailure(f"{path} cannot be read ({error})") from error
        return images, {}
