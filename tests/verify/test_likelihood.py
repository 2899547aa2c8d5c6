"""Log-likelihoods of captions, against an independent computation with the models' own classes."""

import numpy as np
import pytest
import torch
from PIL import Image

from ipcir_steps.config.vision import Captions
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.records import Image as Record
from ipcir_steps.core.records import Query
from ipcir_steps.verify.asked import Asked, Pictures
from ipcir_steps.verify.captioner import Captioner
from ipcir_steps.verify.likelihood import Likelihood

TEXTS = ["a red star", "a picture of a large blue circle at the top left", "a star"]


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8))


def by_hand(directory, image, text: str, blank: bool = False) -> float:
    """Sum of ln p over the tokens of one caption and its end, read one after the other by BLIP-2's own forward."""
    from transformers import Blip2ForConditionalGeneration, Blip2Processor

    model = Blip2ForConditionalGeneration.from_pretrained(directory).eval()
    processor = Blip2Processor.from_pretrained(directory)
    pixels = processor(images=image, return_tensors="pt")["pixel_values"] * (0 if blank else 1)
    tokenizer, config = processor.tokenizer, model.config
    ids = [config.image_token_index] * config.num_query_tokens + [config.text_config.bos_token_id]
    total = 0.0
    for token in [*tokenizer(text, add_special_tokens=False)["input_ids"], model.generation_config.eos_token_id]:
        with torch.inference_mode():
            logits = model(pixel_values=pixels, input_ids=torch.tensor([ids])).logits[0, -1]
        total += float(logits.double().log_softmax(0)[token])
        ids.append(token)
    return total


def test_blip_2_gives_what_its_own_forward_gives(blip2):
    own = Likelihood(blip2, Captions())
    for blank, read in ((False, own.of), (True, own.blank)):
        expected = [by_hand(blip2, picture(), text, blank) for text in TEXTS]
        assert read(picture(), TEXTS).tolist() == pytest.approx(expected, abs=2e-4)
    assert own.blank(picture(1), TEXTS).tolist() == own.blank(picture(2), TEXTS).tolist()
    assert own.of(picture(1), TEXTS).tolist() != own.of(picture(2), TEXTS).tolist()


def test_a_chat_model_reads_the_caption_behind_its_question(qwen_vl):
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    own = Likelihood(qwen_vl, Captions(prompt="What is it?"))
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(qwen_vl).eval()
    processor = AutoProcessor.from_pretrained(qwen_vl)
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    asked = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    ends = model.generation_config.eos_token_id or processor.tokenizer.eos_token_id
    expected = []
    for text in TEXTS:
        end = processor.tokenizer.decode(ends)
        inputs = processor(images=[picture()], text=[asked + text + end], return_tensors="pt")
        start = processor(images=[picture()], text=[asked], return_tensors="pt")["input_ids"].shape[1]
        with torch.inference_mode():
            each = model(**inputs).logits[0, :-1].log_softmax(-1)
        tokens = inputs["input_ids"][0, 1:]
        expected.append(float(each[torch.arange(len(tokens)), tokens][start - 1 :].sum()))
    assert own.of(picture(), TEXTS).tolist() == pytest.approx(expected, abs=2e-4)


def test_the_judgement_is_the_ratio_to_the_blank(blip2, tmp_path):
    picture().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    pictures = Pictures(tmp_path, [Record("a", "a.png"), Record("b", "b.png")])
    judge = Captioner(load_manifest(blip2), Captions())
    question = Asked(Query("q", "a", ("x",)), (TEXTS[0], TEXTS[1], TEXTS[1]), (("a", "b"),))
    value, failure = judge.values(question, ["a", "b"], pictures)
    ratios = [by_hand(blip2, picture(), text) - by_hand(blip2, picture(), text, blank=True) for text in TEXTS[:2]]
    assert value == pytest.approx(np.log((np.exp(ratios[0]) + 2 * np.exp(ratios[1])) / 3), abs=1e-3)
    assert isinstance(failure, StepFailure) and "b.png cannot be read" in str(failure)
    with pytest.raises(StepFailure, match="no target captions"):
        judge.request(Asked(Query("q", "a", ("x",)), (), ()), pictures)
