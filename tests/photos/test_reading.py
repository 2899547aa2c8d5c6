"""Photos with a tiny multimodal language model: it reads them for the index, and what is imagined from the picture."""

import json
import shutil

import pytest
import torch
import yaml

from ipcir_steps.photos.finder import Finder
from ipcir_steps.photos.imagine import Imagination
from ipcir_steps.photos.index import update
from ipcir_steps.photos.models import Models
from ipcir_steps.photos.question import Question
from ipcir_steps.photos.sides import both
from ipcir_steps.photos.stack import stack
from ipcir_steps.photos.terms import Term
from tests.hub.captioners import qwen_vl

pytestmark = pytest.mark.slow
SEEN = {
    "extends": "mini",
    "models": {"llm": {"source": "models/vl"}},
    "clip": {"vl": {"source": "models/vl"}},
    "backbones": ["vl"],
    "captions": {"count": 2},
    "reasoning": {"prompt": "seeing_reasoning", "max_new_tokens": 6},
    "layouts": {"prompt": "seeing_layouts", "max_new_tokens": 40, "max_instances": 1, "max_text": 12},
    "embeddings": {"batch_size": 2, "reading": {"longest": 64}},
    "proxies": {"count": 1, "steps": 2},
}


@pytest.fixture
def chosen(here, tmp_path):
    qwen_vl(here / "models/vl")
    config = {"stacks": {"seen": SEEN}, "baselines": ["joint"], "run": ["mini_circo"]}
    config["datasets"] = {"mini_circo": {"stack": "seen"}}
    (here / "seen.yaml").write_text(yaml.safe_dump(config))
    return stack("seen.yaml")


def test_a_language_model_reads_photos(chosen, here, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted((here / "photos").iterdir())[:4]:
        shutil.copy(path, folder)
    models = Models(type(chosen)(chosen.name, chosen.config, here))
    update(folder, tmp_path / "index", models, progress=False)
    assert models.encoder("text") is models.encoder("image"), "loaded once"
    finder = Finder(folder, tmp_path / "index", models)
    assert len({finder.gallery.photo(hit).fingerprint for hit in range(4)}) == 4
    first = sorted(folder.iterdir())[0]
    question = Question((finder.reference(first),), (Term("is red"),))
    imagination = Imagination(finder, question, 3)
    assert [event["stage"] for event in imagination.run()][-1] == "done" and len(imagination.target) == 2
    text, _ = both(imagination)
    encoder = models.encoder("image")
    wanted = encoder.joint([encoder.read(first)], ["is red"])
    assert torch.allclose(text, torch.nn.functional.normalize(wanted, dim=1)[0], atol=1e-4)
    identity = json.loads(json.dumps(encoder.identity))
    assert not models.differ(identity)
    assert models.differ({**identity, "reading": {**identity["reading"], "ending": "."}})
