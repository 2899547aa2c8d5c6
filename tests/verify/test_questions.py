"""What chat models are asked and how their answers are read: a tiny model of a real class, and a server on loopback."""

import base64
import io
import json
import math
import random
import time

import pytest
from PIL import Image

from ipcir_steps.config.verification import Chat, Judging
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.records import read_images
from ipcir_steps.verify.asked import Asked, Pictures
from ipcir_steps.verify.chat import first_token_of, open_chat, told_odds
from ipcir_steps.verify.judges import open_judge
from ipcir_steps.verify.questions import Grid, YesNo, places, schema
from tests.imagine.llm.test_llm import serve
from tests.verify.conftest import CAPTIONS, NAMES, QUERIES

FIVE = tuple(NAMES[:5])


@pytest.fixture
def pictures(world) -> Pictures:
    return Pictures(world.root, read_images(world.root / "gallery.jsonl"))


def asked(number: int = 0) -> Asked:
    query = QUERIES[number]
    return Asked(query, tuple(CAPTIONS[query.query_id]), (FIVE,))


def judging(judge: str, **chat) -> Judging:
    return Judging(judge=judge, longest=64, chat=Chat(**chat))


def over(server, judge: str, **chat):
    known = {"backend": "openai", "base_url": server.url, "served_model": "tiny", "attempts": 2, "longest_wait": 0.01}
    return open_judge(judging(judge, **{**known, **chat}), None, None)


def test_yes_no_is_the_first_tokens_odds(qwen_vl, pictures):
    import torch
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    engine = open_chat(Chat(), load_manifest(qwen_vl))
    judge = YesNo(judging("yes_no"), engine)
    values = judge.values(asked(), FIVE, pictures)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(qwen_vl).eval()
    processor = AutoProcessor.from_pretrained(qwen_vl)
    words = {word: {processor.tokenizer.encode(form)[0] for form in (word, word.capitalize(), word.upper())}
             for word in ("yes", "no")}  # fmt: skip
    text = judge._asking(asked())
    for name, value in zip(FIVE, values, strict=True):
        shown = [pictures.open("image0"), pictures.open(name)]
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": text}]
        question = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = processor(text=[question], images=shown, return_tensors="pt")
        with torch.inference_mode():
            p = model(**inputs).logits[0, -1].double().softmax(0)
        yes, no = (sum(float(p[token]) for token in words[word]) for word in ("yes", "no"))
        assert value == pytest.approx(math.log(yes / no), abs=0.5)  # forms with a space before them count too
    assert len(set(values)) == 5 and "make it red" in text and "a red star; a large circle" in text


def test_a_grid_is_answered_under_its_schema(qwen_vl, pictures):
    judge = Grid(judging("grid", max_new_tokens=48), open_chat(Chat(max_new_tokens=48), load_manifest(qwen_vl)))
    values = judge.values(asked(), FIVE, pictures)
    if isinstance(values[0], StepFailure):  # an untrained model may never close its list
        assert {str(value) for value in values} == {str(values[0])} and '{"order":' in str(values[0])
    else:
        assert len(values) == 5 and max(values) == 0.0
    answer = judge._engine.answer([pictures.open("image0")], "Order.", schema(2))
    assert answer.replace(" ", "").startswith('{"order":[')


def first_token(handler, *pairs):
    top = [{"token": token, "logprob": math.log(p)} for token, p in pairs]
    choice = {"message": {"content": pairs[0][0]}, "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}
    handler.reply(content=json.dumps({"choices": [choice]}).encode())


def test_a_server_is_sent_both_pictures_and_its_odds_are_read(pictures):
    def answer(handler, body, number):
        time.sleep(0.05)
        first_token(handler, ("Yes", 0.5), (" no", 0.2), ("yes", 0.1), ("Well", 0.05))

    with serve(answer) as server:
        values = over(server, "yes_no").values(asked(), FIVE, pictures)
        assert values == pytest.approx([math.log(0.6 / 0.2)] * 5)
        body = server.requests[0][1]
        assert (body["max_tokens"], body["temperature"], body["logprobs"], body["top_logprobs"]) == (1, 0, True, 20)
        first, second, text = body["messages"][0]["content"]
        shown = Image.open(io.BytesIO(base64.b64decode(first["image_url"]["url"].split(",")[1])))
        assert list(shown.getdata()) == list(pictures.open("image0").getdata()) and second["type"] == "image_url"
        assert "make it red" in text["text"] and server.most_under_way > 1


def test_a_server_orders_a_grid(pictures):
    with serve(lambda handler, body, number: handler.complete('{"order": [2, 5, 1, 3, 4]}')) as server:
        values = over(server, "grid").values(asked(), FIVE, pictures)
        assert values == pytest.approx([-math.log(place) for place in (3, 1, 4, 5, 2)])
        form = server.requests[0][1]["response_format"]["json_schema"]["schema"]
        assert form == schema(5) and len(server.requests) == 1


@pytest.mark.parametrize("judge", ["yes_no", "grid"])
def test_what_the_server_says_wrongly_is_a_failure(judge, pictures):
    def nothing(handler, body, number):
        first_token(handler, ("Maybe", 0.9), ("So", 0.1))

    with serve(nothing) as server:
        values = over(server, judge).values(asked(), FIVE, pictures)
        assert all(isinstance(value, StepFailure) for value in values) and len(values) == 5
    with serve(lambda handler, body, number: handler.reply(500)) as server:
        values = over(server, judge).values(asked(), FIVE, pictures)
        assert all("after 2 attempts" in str(value) for value in values)


def damaged(rng: random.Random) -> str:
    """A right answer, cut, with characters changed, repeated, wrapped, or of other types."""
    order = [rng.randrange(1, 7) for _ in range(rng.randrange(9))]
    if rng.random() < 0.3:
        order.append(rng.choice([-1, 0, 7, True, 2.0, "3", None, [1]]))
    others = [{"order": rng.choice([3, "1,2", None, {}])}, order, {"o": order}]
    text = json.dumps({"order": order} if rng.random() < 0.7 else rng.choice(others))
    text = rng.choice(["", "", "Sure! ", "```json\n", "{" * 30, "{" * 300, "[" * 2000, '{"order": ']) + text
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(["", "{", "}", '"', "\\", "\x00", "é", "9" * 30]) + text[at + rng.randrange(3) :]
    return text[: rng.randrange(len(text) + 1)] if rng.random() < 0.3 else text


def test_a_thousand_damaged_answers_are_read_or_refused():
    rng, read, refused = random.Random(2025), 0, 0
    for _ in range(1000):
        try:
            found = places(damaged(rng), 6)
        except StepFailure:
            refused += 1
            continue
        read += 1
        assert len(found) == 6 and sum(found) == pytest.approx(21) and min(found) >= 1 and max(found) <= 6
    assert read > 100 and refused > 100


def broken(rng: random.Random):
    """What a server might answer to a question for log-probabilities, every part of it right, absent or of another
    type."""
    wrong = [None, [], {}, "yes", 3, math.nan, -math.inf, [{"token": "yes"}], {"top_logprobs": []}]

    def part(value):
        return value if rng.random() < 0.96 else rng.choice(wrong)

    tokens = ["yes", " No", "", "x", None, 4]
    logprobs = [-1.0, -2, -0.0, -math.inf, "x", None, 5.0]
    top = [part({"token": rng.choice(tokens), "logprob": rng.choice(logprobs)}) for _ in range(rng.randrange(4))]
    content = part([part({"top_logprobs": part(top)})])
    return part({"choices": part([part({"logprobs": part({"content": content})})])})


def test_a_thousand_damaged_first_tokens_are_read_or_refused(pictures):
    rng, known = random.Random(7), []
    for _ in range(1000):
        try:
            known.append(told_odds(first_token_of(broken(rng))))
        except (LookupError, TypeError, ValueError, AttributeError, StepFailure):
            continue
    assert 50 < len(known) < 900 and all(math.isfinite(value) for value in known)
    with serve(lambda handler, body, number: handler.reply(content=json.dumps(broken(rng)).encode())) as server:
        values = over(server, "yes_no", attempts=1).values(asked(), FIVE * 4, pictures)
    assert len(values) == 20 and all(isinstance(value, float | StepFailure) for value in values)


def test_a_word_that_is_not_listed_is_less_likely_than_the_last_one():
    assert told_odds({"Yes": math.log(0.9), "x": math.log(0.01)}) == pytest.approx(math.log(90))
    assert told_odds({"no": math.log(0.98)}) == pytest.approx(-math.log(49))
    with pytest.raises(StepFailure, match="neither yes nor no"):
        told_odds({"x": -0.1})


def test_what_is_not_set_is_named():
    with pytest.raises(InputError, match="judge"):
        open_judge(Judging(), None, None)
    with pytest.raises(InputError, match="--model"):
        open_judge(Judging(judge="grid"), None, None)
    with pytest.raises(ValueError, match="llama_cpp is shown no images"):
        Chat(backend="llama_cpp")
