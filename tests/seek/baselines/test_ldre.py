import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from ipcir_steps.core.errors import InputError
from ipcir_steps.seek.baselines import ldre


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive(target, source, gallery, k, temperature):
    """The definition, in float64 with every similarity held at once."""
    t, o, g = (normalize(x.double(), dim=-1) for x in (target, source, gallery))
    lost = (o @ g.T - t @ g.T).clamp(min=0)
    values = lost.topk(k, -1).values.sum(-1)
    return t, values, temperature


@pytest.mark.parametrize(("k", "temperature"), [(5, 0.04), (50, 0.01)])
@pytest.mark.parametrize("scope", ["dataset", "query"])
def test_ensemble_is_its_definition(k, temperature, scope):
    target, source, gallery = features(4, 6, 16), features(4, 6, 16, seed=1), features(120, 16, seed=2)
    t, values, temperature = naive(target, source, gallery, k, temperature)
    values = values.sum(1) if scope == "dataset" else values
    weights = torch.softmax(values / values.amax(0) / temperature, 0)
    expected = (weights.reshape(4, -1, 1) * t).sum(0)
    text, found = ldre.ensemble(target, source, gallery, k, temperature, scope)
    torch.testing.assert_close(found.double(), weights, rtol=1e-3, atol=1e-12)
    torch.testing.assert_close(text.double(), expected, rtol=0, atol=1e-5)


def test_scope_query_does_not_depend_on_the_other_queries():
    target, source, gallery = features(3, 8, 16), features(3, 8, 16, seed=1), features(90, 16, seed=2)
    whole, _ = ldre.ensemble(target, source, gallery, 5, 0.04, "query")
    alone, _ = ldre.ensemble(target[:, 2:3], source[:, 2:3], gallery, 5, 0.04, "query")
    torch.testing.assert_close(whole[2:3], alone)
    shared, _ = ldre.ensemble(target, source, gallery, 5, 0.04)
    assert not torch.allclose(whole, shared, atol=1e-3)


def test_gallery_may_be_memory_mapped_and_smaller_than_k(tmp_path):
    gallery = features(7, 16).numpy()
    np.save(tmp_path / "g.npy", gallery)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    args = features(3, 4, 16), features(3, 4, 16, seed=1)
    torch.testing.assert_close(ldre.ensemble(*args, mapped)[0], ldre.ensemble(*args, torch.from_numpy(gallery))[0])


def test_missing_queries_do_not_count():
    target, source, gallery = features(3, 5, 16), features(3, 5, 16, seed=1), features(60, 16, seed=2)
    source[:, 4] = 0
    _, with_missing = ldre.ensemble(target, source, gallery, 5, 0.04)
    _, without = ldre.ensemble(target[:, :4], source[:, :4], gallery, 5, 0.04)
    torch.testing.assert_close(with_missing, without)


def test_captions_that_move_nowhere_weigh_the_same():
    target = features(3, 5, 16)
    _, weights = ldre.ensemble(target, target, features(60, 16, seed=2))
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3))


def test_mean_caption_is_the_normalised_mean_of_raw_features():
    target = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]])
    torch.testing.assert_close(ldre.mean_caption(target), torch.tensor([[3.0, 1.0]]) / 10**0.5)


def test_shapes_must_agree():
    with pytest.raises(InputError, match="target captions are"):
        ldre.ensemble(features(2, 3, 4), features(3, 3, 4), features(5, 4))
