"""Reasoning and layouts from the picture itself: a tiny untrained Qwen2.5-VL, and a server on loopback."""

import base64
import copy
import io
import json

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

from ipcir_steps.cli import main
from ipcir_steps.config.language import Layouts, Reasoning
from ipcir_steps.core.errors import InputError, ModelError, StepFailure
from ipcir_steps.core.files import read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.layouts import plan
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.decoding import Decoder
from ipcir_steps.imagine.llm.pictures import Picture, Shown, messages, parts
from ipcir_steps.imagine.llm.prompts import load_prompt
from ipcir_steps.imagine.reasoning import target_captions
from tests.hub.captioners import qwen_vl
from tests.imagine.conftest import noise_references
from tests.imagine.llm.test_llm import serve, settings

ASKED = {"max_new_tokens": 8, "temperature": 1.0, "top_p": 1.0, "batch_size": 2}
SMALL = Layouts(max_new_tokens=30, max_instances=1, max_text=12, temperature=1.0)
QUERIES = [Query(f"q{n}", f"image{n % 4}", ("is black",)) for n in range(6)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """With weights so large that the words and the picture before the last token count in an answer."""
    directory = tmp_path_factory.mktemp("qwen_vl")
    qwen_vl(directory)
    weights = load_file(directory / "model.safetensors")
    weights = {key: 10 * value if value.ndim > 1 else value for key, value in weights.items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


@pytest.fixture
def inputs(tmp_path):
    noise_references(tmp_path, 4, 90, 60)
    write_records(tmp_path / "queries.jsonl", QUERIES)
    captions = [{"query_id": q.query_id, "captions": ["a dog", "a cat", "a cow"]} for q in QUERIES[:-1]]
    write_jsonl(tmp_path / "captions.jsonl", captions)
    return tmp_path


def command(inputs, model, name, step="reasoning", **changes):
    words = [step, *("--queries", str(inputs / "queries.jsonl"), "--captions", str(inputs / "captions.jsonl"))]
    words += ["--references", str(inputs / "references.jsonl"), "--root", str(inputs), "--seed", "7"]
    own = ASKED if step == "reasoning" else SMALL.model_dump()
    words += ["--settings", json.dumps({**own, "prompt": f"seeing_{step}", **changes})]
    return [*words, *(["--model", str(model)] if model else []), "--output", str(inputs / name)]


def test_captions_come_from_the_picture_and_a_broken_one_is_a_reason(inputs, model):
    assert main(command(inputs, model, "targets.jsonl")) == 0
    records = read_jsonl(inputs / "targets.jsonl")
    assert "3.png cannot be read" in records[3]["failure"] and records[5]["failure"] == "no source captions"
    good = [record for record in records if "captions" in record]
    assert [len(record["captions"]) for record in good] == [3] * 4
    assert len({text for record in good for text in record["captions"]}) == 12, "an answer has a seed of its own"
    assert good[0]["prompt"] == load_prompt("seeing_reasoning").digest


def test_shards_and_a_killed_run_give_the_same_bytes(inputs, model):
    assert main(command(inputs, model, "whole.jsonl")) == 0
    whole = (inputs / "whole.jsonl").read_bytes()
    for n in range(3):
        assert main([*command(inputs, model, f"{n}.jsonl"), "--shard", f"{n}/3"]) == 0
    assert b"".join((inputs / f"{n}.jsonl").read_bytes() for n in range(3)) == whole
    lines = (inputs / ".whole.jsonl.journal").read_bytes().splitlines(keepends=True)
    for path in (*inputs.glob(".*.journal"), *inputs.glob("?.jsonl")):
        path.unlink()
    (inputs / "killed.jsonl.part").write_bytes(b"".join(lines[:3]))
    assert main(command(inputs, model, "killed.jsonl")) == 0
    assert (inputs / "killed.jsonl").read_bytes() == whole


def test_another_picture_is_asked_about_again(inputs, model):
    """In place of the first picture, which nothing but its bytes tells from the old one; the others stay."""
    assert main([*command(inputs, model, "targets.jsonl"), "--cache", str(inputs / "cache")]) == 0
    before = read_jsonl(inputs / "targets.jsonl")
    PIL.Image.new("RGB", (90, 60), "red").save(inputs / "0.png")
    assert main([*command(inputs, model, "targets.jsonl"), "--cache", str(inputs / "cache")]) == 0
    after = read_jsonl(inputs / "targets.jsonl")
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True, True, False, True]


def test_the_answers_are_those_that_the_model_gives_by_itself(model):
    """Greedy answers through the shared beginning, against transformers' own generate on each whole prompt."""
    image = PIL.Image.effect_noise((120, 80), 90).convert("RGB")
    picture = Picture.of(image, 1024)
    asked = [[{"role": "user", "content": text}] for text in ("a dog", "two black dogs on the beach", "a")]
    how = Reasoning(max_new_tokens=12, temperature=0, batch_size=2)
    backend = open_llm(how, model, None, sees=True)
    [answers] = backend.answer([Group(asked, 1, picture=picture)])
    vision, processor = backend.engine.read
    for conversation, answer in zip(asked, answers, strict=True):
        text = processor.apply_chat_template(parts(conversation, {"type": "image"}), add_generation_prompt=True)
        inputs = processor(text=[text], images=[picture.open()], return_tensors="pt")
        with torch.inference_mode():
            whole = vision.generate(**inputs, max_new_tokens=12, do_sample=False)
        said = processor.tokenizer.decode(whole[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer == said
    assert len(set(answers)) > 1
    other = Picture.of(image.rotate(90, expand=True), 1024)
    assert backend.answer([Group(asked, 1, picture=other)]) != [answers], "the picture counts"


def test_a_cache_that_cannot_be_shared_is_not(model, monkeypatch):
    """Models with other caches (sliding windows) are read row by row; the answers are the same."""
    picture = Picture.of(PIL.Image.effect_noise((120, 80), 90).convert("RGB"), 1024)
    asked = [[{"role": "user", "content": text}] for text in ("a dog", "two black dogs")]
    group = Group(asked, 1, picture=picture)
    how = Reasoning(max_new_tokens=12, temperature=0)
    shared = open_llm(how, model, None, sees=True).answer([group])
    original = Decoder._shared

    def never(self, prefix, count, seen):
        original(self, prefix, count, seen)
        return [], None

    monkeypatch.setattr(Decoder, "_shared", never)
    assert open_llm(how, model, None, sees=True).answer([group]) == shared


def test_layouts_are_planned_from_the_picture(inputs, model):
    assert main(command(inputs, model, "layouts.jsonl", "layouts")) == 0
    records = read_jsonl(inputs / "layouts.jsonl")
    assert "cannot be read" in records[3]["failure"] and records[5]["failure"] == "no source captions"
    layouts = [record["instances"] for record in records if "instances" in record]
    assert len(layouts) == 4 and layouts[0] != layouts[1]


def test_such_a_model_also_answers_prompts_without_a_picture(model, tmp_path):
    """Which transformers reads with its vision tower alone."""
    items = [(QUERIES[0], ["a dog", "a cat"])]
    [record] = target_captions(items, load_prompt("reasoning"), open_llm(Reasoning(**ASKED), model, None), 1)
    assert len(set(record["captions"])) == 2


def test_what_is_no_number_is_no_answer(model, tmp_path):
    """As a model gives in a number format whose range it leaves."""
    import shutil

    shutil.copytree(model, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    name = next(key for key in weights if key.endswith("norm.weight") and "visual" not in key)
    weights[name] = weights[name] * torch.nan
    save_file(weights, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    picture = Picture.of(PIL.Image.new("RGB", (60, 60)), 1024)
    with pytest.raises(ModelError, match="no numbers in float32. Set dtype to bfloat16"):
        open_llm(Reasoning(), tmp_path / "model", None, True).answer(
            [Group([[{"role": "user", "content": "x"}]], 1, None, picture)]
        )


def answering(text):
    def behave(handler, body, number):
        handler.complete(text)

    return behave


def test_a_server_is_sent_the_picture(inputs):
    """As a data URL before the text, scaled to the prompt's bound; nothing twice."""
    PIL.Image.new("RGB", (3000, 1500), "blue").save(inputs / "0.png")
    (inputs / "own.yaml").write_text("image: 500\nsystem: Look.\nuser: '{caption}: {relative_caption}'\n")
    with serve(answering("a black dog")) as server:
        changes = settings(server.url).model_dump(exclude={"max_new_tokens"})
        words = command(inputs, None, "targets.jsonl", **{**changes, "prompt": str(inputs / "own.yaml")})
        assert main([*words, "--cache", str(inputs / "cache")]) == 0
        bodies = [body for _, body, _ in server.requests]
        assert main([*words, "--cache", str(inputs / "cache")]) == 0
        assert len(server.requests) == len(bodies) == 4 * 3
    records = read_jsonl(inputs / "targets.jsonl")
    assert records[0]["captions"] == ["a black dog"] * 3
    shown, said = bodies[0]["messages"][-1]["content"]
    assert said["type"] == "text" and said["text"].endswith("is black")
    assert shown["image_url"]["url"].startswith("data:image/jpeg;base64,")
    sizes = [
        PIL.Image.open(io.BytesIO(base64.b64decode(body["messages"][-1]["content"][0]["image_url"]["url"][23:]))).size
        for body in bodies
    ]
    assert max(sizes) == (500, 250) and (90, 60) in sizes, "large ones are scaled, small ones stay"


def test_layouts_of_a_server_are_asked_for_again_with_the_picture(inputs):
    with serve(answering("I cannot")) as server:
        how = Layouts(**settings(server.url).model_dump(exclude={"max_new_tokens"}), prompt="seeing_layouts", retries=1)
        prompt = load_prompt(how.prompt)
        shown = Shown.of_files(prompt, inputs / "references.jsonl", inputs)
        [failure] = plan([(QUERIES[0], ["a dog"])], prompt, open_llm(how, None, None, True), how, 1, shown)
        contents = [body["messages"][-1]["content"] for _, body, _ in server.requests]
    assert isinstance(failure, StepFailure) and len(contents) == 2
    assert all([part["type"] for part in content] == ["image_url", "text"] for content in contents)


def test_what_cannot_see_says_what_to_do(inputs, model, llm, tmp_path):
    with pytest.raises(InputError, match=r"backend.*no pictures.*--mmproj"):
        open_llm(Reasoning(backend="llama_cpp"), model, None, sees=True)
    with pytest.raises(InputError, match=r"--references.*shows the reference picture"):
        Shown.of_files(load_prompt("seeing_reasoning"), None, None)
    picture = Picture.of(PIL.Image.new("RGB", (9, 9)), 1024)
    with pytest.raises(ModelError, match="chat model that takes images"):
        open_llm(Reasoning(), llm, None, sees=True).answer(
            [Group([[{"role": "user", "content": "x"}]], 1, None, picture)]
        )
    with pytest.raises(StepFailure, match="too narrow"):
        Picture.of(PIL.Image.new("RGB", (3, 900)), 1024)
    (tmp_path / "p.yaml").write_text("image: large\nuser: x")
    with pytest.raises(InputError, match=r"p\.yaml.*'image'.*8192 pixels"):
        load_prompt(str(tmp_path / "p.yaml"))


def test_a_blind_prompt_is_what_it_was(inputs, llm):
    """No picture is opened, the messages and the digests that name answers in caches stay as they were."""
    prompt = load_prompt("reasoning")
    assert not prompt.sees and prompt.digest.startswith("61932ecdab036ff3")
    conversation = prompt.render(caption="a", relative_caption="b")
    assert messages(conversation, None) is conversation
    shown = Shown.of_files(prompt, inputs / "missing.jsonl", None)
    assert shown.of(QUERIES[3]) is None and shown.content(QUERIES[3]) == []
    how = Reasoning(**ASKED)
    items = [(QUERIES[0], ["a dog"])]
    made = target_captions(items, prompt, open_llm(how, llm, inputs / "cache"), 1, shown)
    assert made == target_captions(copy.deepcopy(items), prompt, open_llm(how, llm, None), 1)
