"""``ipcir verify`` and ``ipcir rerank``: one judgement a pair, the same bytes however it is divided, failures."""

import json
import shutil
from pathlib import Path

import pytest

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, read_jsonl, write_jsonl
from ipcir_steps.core.rankings import about_rankings, read_rankings, read_scored, write_rankings
from ipcir_steps.verify import captioner
from tests.verify.conftest import LISTS, NAMES

SETTINGS = json.dumps({"judge": "captioner", "k": 3})


@pytest.fixture
def counted(monkeypatch):
    """[(query id, image)] of every judgement that a captioner made."""
    made, value = [], captioner.Captioner._value

    def counting(self, name, counted, pictures):
        made.append((json.dumps(counted), name))
        return value(self, name, counted, pictures)

    monkeypatch.setattr(captioner.Captioner, "_value", counting)
    return made


def verify(world, model, name="judgements.jsonl", *extra, settings=SETTINGS, code=0):
    output = world.root / name
    command = ["verify", *world.options(), "--model", str(model), "--settings", settings, "--output", str(output)]
    assert main([*command, *extra]) == code
    return output


def rerank(world, judgements, *extra, code=0, settings="{}", k=3):
    lists = sorted(map(str, world.root.glob("*.rankings.parquet")))
    command = ["rerank", "--rankings", *lists, "--judgements", str(judgements), "--k", str(k), "--settings", settings]
    assert main([*command, "--queries", str(world.root / "queries.jsonl"), *extra]) == code


def test_every_pair_is_judged_once(world, blip2, counted):
    records = read_jsonl(verify(world, blip2, "a.jsonl", "--cache", str(world.root / "cache")))
    wanted = {(q, NAMES[i]) for lists in LISTS.values() for q, row in lists.items() for i in row[:3]}
    assert {(r["query_id"], n) for r in records for e in r["judged"] for n in e["images"]} == wanted
    assert len(counted) == len(wanted) == len(set(counted)) and all(r["failed"] == [] for r in records)
    more = json.dumps({"judge": "captioner", "k": 5})
    deeper = read_jsonl(verify(world, blip2, "b.jsonl", "--cache", str(world.root / "cache"), settings=more))
    longer = {(q, NAMES[i]) for lists in LISTS.values() for q, row in lists.items() for i in row}
    assert len(counted) == len(longer) == len(set(counted)), "only the new pairs were judged"
    first = [dict(zip(r["judged"][0]["images"], r["judged"][0]["values"], strict=True)) for r in records]
    then = [dict(zip(r["judged"][0]["images"], r["judged"][0]["values"], strict=True)) for r in deeper]
    assert all(old.items() <= new.items() for old, new in zip(first, then, strict=True))


def test_shards_and_a_kill_give_the_same_bytes(world, blip2, monkeypatch):
    whole = verify(world, blip2, "whole.jsonl").read_bytes()
    for count in (2, 3):
        (world.root / f"{count}").mkdir()
        files = [str(world.root / f"{count}/{n}.jsonl") for n in range(count)]
        parts = ["--shard", *(f"{n}/{count}" for n in range(count)), "--output", *files]
        command = ["verify", *world.options(), "--model", str(blip2), "--settings", SETTINGS, *parts]
        assert main(command) == 0
        assert b"".join(Path(file).read_bytes() for file in files) == whole
    value, calls = captioner.Captioner._value, []

    def dying(self, *args):
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return value(self, *args)

    monkeypatch.setattr(captioner.Captioner, "_value", dying)
    (world.root / "killed").mkdir()
    with pytest.raises(KeyboardInterrupt):
        verify(world, blip2, "killed/0.jsonl", "--cache", str(world.root / "c"))
    assert verify(world, blip2, "killed/0.jsonl", "--cache", str(world.root / "c")).read_bytes() == whole


def test_a_failure_is_recorded_and_its_lists_stay_as_they_were(world, blip2):
    (world.root / "image3.png").write_bytes(b"no picture")
    judgements = verify(world, blip2)
    records = {r["query_id"]: r for r in read_jsonl(judgements)}
    assert [f["image"] for f in records["q0"]["failed"]] == ["image3"] and not records["q1"]["failed"]
    out = world.root / "new"
    rerank(world, judgements, "--output-dir", str(out), settings='{"weight": 1.0}')
    told = about_rankings(out / "base_verified.rankings.parquet")
    assert told["verification"] == {"lists": 3, "unverified": 2, "k": 3, "weight": 1.0, "temperature": None}
    assert told["variant"] == "base_verified" and told["lambda"] == 0.5
    old, new = read_rankings(world.rankings("base")), read_rankings(out / "base_verified.rankings.parquet")
    assert new["q0"] == old["q0"] and new["q2"] == old["q2"]
    values = dict(zip(records["q1"]["judged"][0]["images"], records["q1"]["judged"][0]["values"], strict=True))
    assert new["q1"] == sorted(old["q1"][:3], key=lambda name: -values[name]) + old["q1"][3:]
    shutil.copy(world.root / "image0.png", world.root / "image3.png")
    assert all(not r["failed"] for r in read_jsonl(verify(world, blip2))), "failures are tried again"


def test_a_query_without_target_captions_is_a_failure(world, blip2):
    write_jsonl(world.root / "captions.jsonl", [{"query_id": "q1", "captions": ["a star"]}])
    records = read_jsonl(verify(world, blip2))
    assert [r.get("failure") for r in records] == ["no target captions", None, "no target captions"]


def test_weight_zero_changes_nothing(world, blip2):
    out = world.root / "same"
    rerank(world, verify(world, blip2), "--output-dir", str(out), settings='{"weight": 0.0}')
    for variant in LISTS:
        assert read_rankings(out / f"{variant}_verified.rankings.parquet") == read_rankings(world.rankings(variant))


def test_the_mix_is_chosen_by_labels(world):
    """The judge knows the targets of base's lists and is wrong about those of rp_bm's."""
    right = {"q0": "image3", "q1": "image0", "q2": "image4"}
    records = [
        {"query_id": q, "judged": [{"images": sorted(NAMES), "values": [9.0 * (n == name) for n in sorted(NAMES)]}]}
        for q, name in right.items()
    ]
    write_jsonl(world.root / "known.jsonl", [{**record, "failed": []} for record in records])
    choice = world.root / "verify.json"
    grid = '{"weights": [0.0, 0.5, 1.0], "temperatures": [null, 1.0]}'
    rerank(world, world.root / "known.jsonl", "--choose", str(choice), "--benchmark", "circo", settings=grid)
    found = read_json(choice)
    assert found["chosen"]["base"]["weight"] == 0.5 and found["key"] == "mAP@10" and len(found["mixes"]) == 6
    out = world.root / "chosen"
    rerank(world, world.root / "known.jsonl", "--choice", str(choice), "--output-dir", str(out))
    assert [names[0] for _, names in sorted(read_rankings(out / "base_verified.rankings.parquet").items())] == list(
        right.values()
    )
    assert about_rankings(out / "base_verified.rankings.parquet")["verification"]["weight"] == 0.5
    scores = [score for _, score in read_scored(out / "base_verified.rankings.parquet")["q0"]]
    assert scores == sorted(scores, reverse=True)


def test_image_sets_are_ordered_anew_too(world):
    """CIRR's Recall_subset comes from lists of its own."""
    members = [("image3", 0.9), ("image1", 0.5), ("image5", 0.1)]
    write_rankings(world.root / "base.subset.parquet", [("q0", members)], {"variant": "base"})
    values = {"image1": 0.0, "image3": -5.0, "image5": 5.0}
    record = {"query_id": "q0", "judged": [{"images": list(values), "values": list(values.values())}], "failed": []}
    write_jsonl(world.root / "known.jsonl", [record])
    command = ["rerank", "--rankings", str(world.root / "base.subset.parquet"), "--judgements"]
    command += [str(world.root / "known.jsonl"), "--queries", str(world.root / "queries.jsonl")]
    assert main([*command, "--output-dir", str(world.root / "o"), "--settings", '{"weight": 1.0}']) == 0
    assert read_rankings(world.root / "o/base_verified.subset.parquet") == {"q0": ["image5", "image1", "image3"]}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--choose", "x.json"], "--benchmark"),
        ([], "--output-dir"),
        (["--choice", "queries.jsonl", "--output-dir", "o"], "chosen"),
    ],
)
def test_wrong_options_are_named(world, capsys, monkeypatch, extra, message):
    monkeypatch.chdir(world.root)
    write_jsonl(world.root / "none.jsonl", [])
    if "queries.jsonl" in extra:
        (world.root / "queries.json").write_text('{"a": 1}')
        extra = [word.replace("queries.jsonl", "queries.json") for word in extra]
    rerank(world, world.root / "none.jsonl", *extra, code=2)
    assert message in capsys.readouterr().err


def test_an_unknown_image_is_named(world, blip2):
    from ipcir_steps.verify.asked import Asked, Pictures
    from ipcir_steps.verify.judges import judged
    from tests.verify.conftest import QUERIES

    judge = captioner.Captioner(type("M", (), {"digest": "d", "path": str(blip2)}), Captions())
    with pytest.raises(InputError, match="neither in the gallery nor a reference"):
        judged(Asked(QUERIES[0], ("x",), (("zz",),)), judge, Pictures(world.root, []), Cache(None))
