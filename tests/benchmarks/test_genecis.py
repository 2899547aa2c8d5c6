"""GeneCIS: the official layout, the official numbers, a gallery for each query."""

import json

import numpy as np
import pytest

from ipcir_steps.benchmarks import datasets, genecis
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query
from tests.benchmarks import layouts

# What the official code gives for the lists below (facebookresearch/genecis at 0c5c968, utils/metric_utils.py).
OFFICIAL = {
    "focus_attribute": (0.08, 0.12, 0.14),
    "change_attribute": (0.08, 0.1, 0.14),
    "focus_object": (0.14, 0.22, 0.28),
    "change_object": (0.08, 0.2, 0.26),
}


@pytest.fixture
def lists():
    """(queries, rankings, {task: scores [50, 15]}); the target is image 0 of each gallery."""
    draw, queries, rankings = np.random.default_rng(23), [], {}
    scores = {task: draw.random((50, 15)) for task in genecis.TASKS}
    for task, of_queries in scores.items():
        for number, row in enumerate(of_queries):
            name = f"{task}-{number}"
            queries.append(Query(name, "r", ("c",), ("0",), category=task, pool=name))
            rankings[name] = [str(image) for image in np.argsort(-row)]
    return queries, rankings, scores


def test_numbers_are_those_of_the_official_code(lists):
    queries, rankings, _ = lists
    values = genecis.total(rankings, queries)
    for task, official in OFFICIAL.items():
        assert [values[f"{task}/recall@{k}"] for k in (1, 2, 3)] == pytest.approx(official, abs=1e-9)


def test_numbers_from_the_scores_alone(lists):
    queries, rankings, scores = lists
    values = genecis.total(rankings, queries)
    for k in (1, 2, 3):
        above = {task: (rows[:, 1:] > rows[:, :1]).sum(1) for task, rows in scores.items()}
        found = {task: float((count < k).mean()) for task, count in above.items()}
        assert values[f"recall@{k}"] == pytest.approx(np.mean(list(found.values())), abs=1e-9)


def test_official_layout(tmp_path):
    data = datasets.load(Source(benchmark="genecis", root=str(layouts.genecis(tmp_path))), "all")
    assert [query.category for query in data.queries] == [task for task in genecis.TASKS for _ in range(2)]
    first, last = data.queries[0], data.queries[-1]
    assert first.reference == "crops/0_2.5_3_10_8.png" and first.targets == ("crops/1_2.5_3_10_8.png",)
    assert last.query_id == "change_object-1" and last.captions == ("object 1",)
    pool = [image.name for image in data.gallery if last.gallery in image.categories]
    assert pool == [f"val2017/{n:012d}.jpg" for n in (2, 3, 4, 5, 6)]
    assert last.reference not in pool


@pytest.mark.parametrize("task", genecis.TASKS)
def test_one_task(tmp_path, task):
    source = Source(benchmark="genecis", root=str(layouts.genecis(tmp_path)))
    assert {query.category for query in datasets.load(source, task).queries} == {task}


def test_another_split_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no task 'val'. GeneCIS has no splits: set split to all, or"):
        datasets.load(Source(benchmark="genecis", root=str(layouts.genecis(tmp_path))), "val")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": {"image_id": 1, "instance_bbox": [1, 2, 0, 4]}}, "record 0: field 'instance_bbox': is not left"),
        ({"reference": {"image_id": "1", "instance_bbox": [1, 2, 3, 4]}}, "record 0: field 'image_id': has the wrong"),
        ({"gallery": None}, "record 0: field 'gallery': has the wrong type"),
        ({"condition": 3}, "record 0: field 'condition': has the wrong type"),
    ],
)
def test_bad_annotations_are_told(tmp_path, change, message):
    path = layouts.genecis(tmp_path) / "genecis/focus_attribute.json"
    records = json.loads(path.read_text())
    layouts.write(path, [records[0] | change])
    with pytest.raises(InputError, match=message):
        datasets.load(Source(benchmark="genecis", root=str(tmp_path)), "focus_attribute")
