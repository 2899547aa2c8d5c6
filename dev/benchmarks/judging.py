"""What the mini world's captioner says of the first images of both sides, for the rule that balances by it."""

from pathlib import Path

import torch

from ipcir_steps.config.data import JUDGED_FIRST
from ipcir_steps.config.verification import Judging
from ipcir_steps.config.vision import Captions
from ipcir_steps.core import paths
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.records import read_captions, read_images
from ipcir_steps.seek.balance.sides import sides_of
from ipcir_steps.seek.ranking.inputs import RetrievalInputs
from ipcir_steps.verify.asked import Pictures, asked
from ipcir_steps.verify.judges import judged, open_judge


class Captioner:
    """The judge ``captioner`` on one evaluation world; answers are kept where the workflow keeps them."""

    def __init__(self, directory: Path, dataset: str):
        def path(template: str) -> Path:
            return directory / template.format(dataset=dataset, split="val", stack="mini", role="captioner")

        root = directory / f"resources/mini/{dataset.removeprefix('mini_')}_world/mini_circo"
        images = [*read_images(path(paths.REFERENCES)), *read_images(path(paths.GALLERY))]
        self._pictures, self._cache = Pictures(root, images), Cache(directory / paths.CACHE)
        self._captions = read_captions(path(paths.TARGET_CAPTIONS))
        self._judge = open_judge(Judging(judge="captioner"), path(paths.MANIFEST), Captions())

    def believed(self, found: RetrievalInputs, fused: torch.Tensor) -> dict[str, dict[str, float]]:
        """{query id: {image: log-odds}} of the first images by the text and by the fused proxies [Q, D]."""
        first = sides_of(found, fused, depth=JUDGED_FIRST).lists
        lists = [
            {q.query_id: [found.names[at] for at in row if at >= 0] for q, row in zip(found.queries, side, strict=True)}
            for side in first.transpose(0, 1).tolist()
        ]
        told = {}
        for item in asked(found.queries, self._captions, lists, JUDGED_FIRST):
            entry = judged(item, self._judge, self._pictures, self._cache)["judged"][0]
            told[item.query.query_id] = dict(zip(entry["images"], entry["values"], strict=True))
        return told
