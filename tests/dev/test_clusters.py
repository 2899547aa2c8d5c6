"""The early-stopping search gives the lists of the scan, and stops early only where it may."""

import math

import pytest
import torch

from dev.clusters import _upper, build, search
from ipcir_steps.seek.ranking import rank


def _clustered(images, groups, dims, spread, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centres = torch.nn.functional.normalize(torch.randn(groups, dims, generator=draw), dim=1)
    home = torch.randint(0, groups, (images,), generator=draw)
    return centres[home] + spread * torch.randn(images, dims, generator=draw)


def _near(gallery, count, noise, seed=1):
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, len(gallery), (count,), generator=draw)
    return [gallery[rows] + noise * torch.randn(count, gallery.shape[1], generator=draw) for _ in range(2)]


def _assert_same(got, expected):
    indices, scores = got[:2]
    other, values = expected[0][0], expected[1][0]
    assert torch.allclose(scores, values, atol=1e-5)
    gaps = torch.full((len(values), values.shape[1] + 1), math.inf)
    gaps[:, 1:-1] = values[:, :-1] - values[:, 1:]
    # The last one may tie with an image outside the list.
    clear = (gaps[:, :-1] > 1e-6) & (gaps[:, 1:] > 1e-6) & (torch.arange(values.shape[1]) < values.shape[1] - 1)
    assert torch.equal(indices[clear], other[clear]) and clear.float().mean() > 0.8


@pytest.fixture(scope="module")
def gallery():
    return _clustered(20_000, 100, 24, 0.04)


@pytest.fixture(scope="module")
def clusters(gallery):
    return build(gallery, 100)


@pytest.mark.parametrize("combine", ["product", "sum"])
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_clustered_lists_equal_the_scan_with_few_products(gallery, clusters, combine, lam):
    text, proxy = _near(gallery, 30, 0.05)
    got = search(text, clusters, 20, proxy, lam, combine)
    _assert_same(got, rank(text, gallery, 20, proxy, (lam,), combine=combine))
    assert got[2].closed == 30 and got[2].scan_products > 10 * got[2].products


def test_opposite_directions_are_exact(gallery, clusters):
    # Both similarities negative make a positive product: the bound has to look at every corner.
    text, proxy = _near(gallery, 10, 0.05)
    for a, b in ((-text, -proxy), (-text, proxy), (3 * text, -0.2 * proxy)):
        _assert_same(search(a, clusters, 20, b, 0.1), rank(a, gallery, 20, b, (0.1,)))


def test_text_alone(gallery, clusters):
    text, _ = _near(gallery, 10, 0.05)
    _assert_same(search(text, clusters, 20), rank(text, gallery, 20))


def test_uniform_data_is_scanned_and_says_so():
    draw = torch.Generator().manual_seed(0)
    gallery = torch.randn(6000, 32, generator=draw)
    text, proxy = torch.randn(8, 32, generator=draw), torch.randn(8, 32, generator=draw)
    got = search(text, build(gallery), 10, proxy, 0.3)
    _assert_same(got, rank(text, gallery, 10, proxy, (0.3,)))
    assert got[2].closed == 0 and "8 scanned" in str(got[2]) and got[2].products >= got[2].scan_products


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_bounds_hold_for_every_image(combine):
    draw = torch.Generator().manual_seed(0)
    gallery = _clustered(3000, 12, 8, 0.3)
    clusters = build(gallery, 20)
    text, proxy = torch.randn(40, 8, generator=draw), 3 * torch.randn(40, 8, generator=draw)
    text[:5] = clusters.centres[:5]  # angle 0 to a centre
    for lam in (0.0, 0.5, 1.0):
        upper = _upper([text, proxy], clusters, lam, combine).double()
        s_t, s_p = text.double() @ clusters.rows.double().T, proxy.double() @ clusters.rows.double().T
        scores = lam * s_t + (1 - lam) * (s_t * s_p if combine == "product" else s_p)
        for number in range(20):
            low, high = clusters.bounds[number : number + 2].tolist()
            if high > low:
                assert (scores[:, low:high].amax(1) <= upper[:, number]).all()


def test_more_wanted_than_there_is_and_duplicates():
    gallery = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    text = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    indices, scores, _ = search(text, build(gallery, 3), 50)
    assert indices.shape == (2, 21) and [sorted(row) for row in indices.tolist()] == [list(range(21))] * 2
    assert torch.allclose(scores, rank(text, gallery, 50)[1][0], atol=1e-6)
