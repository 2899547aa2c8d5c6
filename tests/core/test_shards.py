"""Shards share the work out without loss or repetition."""

import pytest

from ipcir_steps.core import shards
from ipcir_steps.core.errors import InputError


@pytest.mark.parametrize("count", [1, 3, 8, 50])
def test_shards_partition(count):
    parts = [shards.shard(range(41), f"{i}/{count}") for i in range(count)]
    assert [item for part in parts for item in part] == list(range(41))


@pytest.mark.parametrize("spec", ["1/1", "2/1", "0/0", "-1/2", "a/b", "1", "1/2/3", "", " 0/1"])
def test_a_bad_shard_is_named(spec):
    with pytest.raises(InputError, match=r"field '--shard': .* is not a shard. Use i/n"):
        shards.shard(range(4), spec)
