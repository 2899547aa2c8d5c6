"""Shards are joined in query order."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query
from ipcir_steps.imagine import gather


def test_gather_spreads_images_over_queries_and_splits_failures():
    queries = [Query("1", "a", ("x",)), Query("2", "b", ("x",)), Query("3", "a", ("y",))]
    records = [{"reference": "b", "failure": "unreadable"}, {"reference": "a", "captions": ["c"]}]
    done, failed = gather.gather(queries, records, "reference")
    assert done == [{"query_id": "1", "captions": ["c"]}, {"query_id": "3", "captions": ["c"]}]
    assert failed == [{"query_id": "2", "failure": "unreadable"}]
    with pytest.raises(InputError, match="no shard has a record for reference 'a'"):
        gather.gather(queries, records[:1], "reference")
