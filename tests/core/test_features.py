"""Feature files refuse what would silently spoil a ranking."""

import numpy as np
import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, load_features, save_features


def features(rows=5, **more):
    values = np.random.default_rng(0).standard_normal((rows, 4)).astype(np.float32)
    return Features(values, tuple(f"i{n}" for n in range(rows)), **more)


def test_round_trip(tmp_path):
    save_features(tmp_path / "f.safetensors", features(model={"backbone": "x"}))
    loaded = load_features(tmp_path / "f.safetensors")
    assert isinstance(loaded.values, np.memmap)
    np.testing.assert_array_equal(loaded.values, features().values)
    assert loaded.names == features().names and loaded.model == {"backbone": "x"}


@pytest.mark.parametrize(("value", "message"), [(np.nan, "record i3: .*NaN"), (np.inf, "record i3: .*infinite")])
def test_not_finite(tmp_path, value, message):
    bad = features()
    bad.values[3, 1] = value
    with pytest.raises(InputError, match=message):
        save_features(tmp_path / "f.safetensors", bad)
    assert not (tmp_path / "f.safetensors").exists()


def test_zero_rows_only_where_missing(tmp_path):
    bad = features()
    bad.values[2] = 0
    with pytest.raises(InputError, match="record i2: .*zero vector"):
        save_features(tmp_path / "f.safetensors", bad)
    save_features(tmp_path / "f.safetensors", Features(bad.values, bad.names, missing=("i2",)))


def test_truncated(tmp_path):
    path = tmp_path / "f.safetensors"
    save_features(path, features())
    whole = path.read_bytes()
    for size in (len(whole) - 3, 40, 4, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"f.safetensors: .*(cut short|not a safetensors file)"):
            load_features(path)


def test_names_must_fit(tmp_path):
    with pytest.raises(InputError, match="5 rows but 4 names"):
        save_features(tmp_path / "f.safetensors", Features(features().values, ("a", "b", "c", "d")))
    with pytest.raises(InputError, match="record a: appears twice"):
        save_features(tmp_path / "f.safetensors", Features(features().values, ("a", "b", "c", "d", "a")))


def counted(counts, zeros, **more):
    values = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    values[zeros] = 0
    return Features(values, ("a", "b", "c"), counts=counts, **more)


def test_rows_may_have_fewer_vectors_where_the_file_says_so(tmp_path):
    path = tmp_path / "f.safetensors"
    made = counted((1, 0, 2), ([0, 1, 1], [1, 0, 1]))
    save_features(path, made)
    loaded = load_features(path)
    assert loaded.counts == (1, 0, 2) and loaded.drawn.tolist() == [1, 0, 2]
    save_features(path, Features(made.values, made.names, ("b",), counts=(1, 0, 2)))
    assert load_features(path).drawn.tolist() == [1, 0, 2]
    whole = features()
    assert Features(whole.values[:, None], whole.names, ("i1",)).drawn.tolist() == [1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("counts", "zeros", "message"),
    [
        ((2, 2, 2), ([0], [1]), "record a: .*zero vector"),
        ((1, 2, 2), ([0], [0]), "record a: .*zero vector"),
        ((1, 2, 2), ([], []), "record a: .*more vectors than it counts"),
        ((3, 2, 2), ([], []), "'counts': are not one for each row"),
        ((2, 2), ([], []), "'counts': are not one for each row"),
    ],
)
def test_counts_that_do_not_fit(tmp_path, counts, zeros, message):
    with pytest.raises(InputError, match=message):
        save_features(tmp_path / "f.safetensors", counted(counts, zeros))
