"""Every baseline runs on each embedded benchmark with the embedded models."""

import numpy as np
import pytest
import torch

from ipcir_steps.cli import main
from ipcir_steps.config.baselines import BASELINES, MAPPED
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.records import read_images, read_queries
from ipcir_steps.seek.embeddings.clip import load_encoder


@pytest.fixture(scope="module")
def encoder(mini_models):
    return load_encoder(mini_models / "clip")


@pytest.fixture(scope="module", params=["cirr", "circo", "fashioniq"])
def benchmark_files(request, tmp_path_factory, mini_world, encoder):
    """The files that the baseline rule passes, of one embedded benchmark; captions repeat the relative caption."""
    directory, root = tmp_path_factory.mktemp(request.param), mini_world / f"mini_{request.param}"
    settings = f'{{"benchmark": "{request.param}", "root": "{root}"}}'
    assert main(["datasets", "--settings", settings, "--split", "val", "--output", str(directory)]) == 0
    queries = read_queries(directory / "queries.jsonl")
    ids = tuple(query.query_id for query in queries)
    images = read_images(directory / "references.jsonl")
    pixels = torch.stack([encoder.read(root / image.path) for image in images])
    images = dict(zip([image.name for image in images], encoder.pixels(pixels).numpy(), strict=True))
    texts = encoder.texts([query.caption for query in queries]).numpy()
    references = np.stack([images[query.reference] for query in queries])
    for name, values, names in (
        ("references", references, ids),
        ("gallery", np.stack(list(images.values())), tuple(images)),
        ("target_captions", np.stack([texts, np.roll(texts, 1, 0)], 1), ids),
        ("source_captions", np.stack([texts[::-1], texts], 1), ids),
    ):
        save_features(directory / f"{name}.safetensors", Features(values, names, (), encoder.identity))
    return request.param, directory


@pytest.mark.parametrize("baseline", [name for name, card in BASELINES.items() if not card.sees])
def test_baseline_runs(tmp_path, mini_models, benchmark_files, baseline):
    form, directory = benchmark_files
    arguments = ["baselines", baseline, "--queries", str(directory / "queries.jsonl"), "--benchmark", form]
    for name in ("references", "gallery", "target_captions", "source_captions"):
        arguments += [f"--{name.replace('_', '-')}", str(directory / f"{name}.safetensors")]
    arguments += ["--model", str(mini_models / "clip"), "--output", str(tmp_path / "text.safetensors")]
    if baseline in MAPPED:
        arguments += ["--weights", str(mini_models / baseline)]
    if baseline == "searle_oti":
        arguments += ["--settings", '{"steps": 3}']
    assert main(arguments) == 0
    text = load_features(tmp_path / "text.safetensors")
    assert text.names == tuple(query.query_id for query in read_queries(directory / "queries.jsonl"))
    assert text.values.shape[1] == 64 and not text.missing and np.isfinite(text.values).all()
    assert len(np.unique(text.values, axis=0)) > len(text.names) / 2
