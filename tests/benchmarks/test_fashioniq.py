"""FashionIQ's scores by hand."""

from ipcir_steps.benchmarks import fashioniq
from ipcir_steps.core.records import Query


def test_fashioniq_averages_categories_not_queries():
    queries = [Query(str(n), "r", ["c"], ["t"], category="dress") for n in range(3)]
    queries.append(Query("3", "r", ["c"], ["t"], category="shirt"))
    values = fashioniq.total({"3": ["t"]}, queries)
    assert values["dress/recall@10"] == 0 and values["shirt/recall@10"] == 1
    assert values["recall@10"] == 0.5 and values["recall@50"] == 0.5
