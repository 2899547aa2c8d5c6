"""Memory follows the sizes of the models and the settings, and grows with the attempt."""

import json
import subprocess
import sys

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.runtime.plan import memory
from ipcir_steps.runtime.plan.architectures import find
from ipcir_steps.runtime.plan.memory import megabytes, need
from ipcir_steps.runtime.plan.weights import weights

STEPS = ("captions", "reasoning", "layouts", "masks", "proxies", "image_features", "text_features", "baseline")
BIG = "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"


def stack(name="published", **changes):
    return load_config({"stacks": {name: changes}}).with_stack(name)


@pytest.mark.parametrize("step", STEPS)
def test_every_attempt_asks_for_twice_as_much(step):
    first = megabytes(stack(), step, device="cuda")
    second = megabytes(stack(), step, 2, device="cuda")
    assert first % 100 == second % 100 == 0 and 2 * first - 100 <= second <= 2 * first


def test_a_captioner_of_31_gb_is_not_given_4():
    assert megabytes(stack(), "captions", device="cpu") > 31_000
    half = stack(captions={"dtype": "bfloat16"})
    on_gpu = need(half, "captions", "cuda")
    assert 15.5e9 < on_gpu.device < 19e9 and on_gpu.host > 15.5e9


def test_half_precision_halves_what_the_device_holds():
    for step in ("captions", "masks", "proxies", "image_features"):
        section = memory.SECTIONS.get(step, step)
        whole = need(stack(**{section: {"dtype": "float32"}}), step, "cuda").device
        half = need(stack(**{section: {"dtype": "float16"}}), step, "cuda").device
        assert 0.45 < half / whole < 0.75, step
        assert need(stack(), step, "cuda").device == half  # auto


def test_larger_batches_need_more():
    for step, few, many in (
        ("captions", {"captions": {"count": 2}}, {"captions": {"count": 60}}),
        ("reasoning", {"reasoning": {"batch_size": 1}}, {"reasoning": {"batch_size": 64}}),
        ("image_features", {"embeddings": {"batch_size": 1}}, {"embeddings": {"batch_size": 512}}),
    ):
        assert need(stack(**few), step, "cuda").device < need(stack(**many), step, "cuda").device, step


def test_a_larger_backbone_needs_more():
    assert megabytes(stack(), "image_features", backbone="ViT-bigG-14") > 3 * megabytes(
        stack(), "image_features", backbone="ViT-B-32"
    )


def test_a_baseline_asks_for_the_model_only_where_it_encodes_texts():
    def asked(baseline):
        return megabytes(stack(), "baseline", backbone="ViT-bigG-14", baseline=baseline, device="cpu")

    without = {asked(name) for name in ("ldre", "cirevl", "image_only")}
    assert len(without) == 1 and without.pop() < 2000
    own = asked("my_package.mine:text_features")
    assert own > 8_000 and {asked(name) for name in BASELINES if BASELINES[name].encodes} == {own}


def test_models_without_a_known_size_get_much():
    own = stack(models={"captioner": {"source": "someone/unheard-of", "revision": "1"}})
    assert (
        megabytes(own, "captions", device="cpu") > 16_000
        and "unheard-of is unknown" in need(own, "captions", "cpu").how
    )


@pytest.mark.parametrize("step", STEPS)
def test_toy_models_get_little(step):
    assert megabytes(stack("mini"), step, device="cpu") <= 1600


def test_a_server_answers_without_a_model_here():
    asked = stack(reasoning={"backend": "openai", "base_url": "http://localhost:1/v1", "served_model": "x"})
    assert megabytes(asked, "reasoning", device="cpu") < 1500


def test_the_device_is_what_the_machine_has(monkeypatch):
    present = set()
    monkeypatch.setattr(memory.shutil, "which", lambda name: name if name in present else None)
    assert memory.devices(stack(), "captions") == ["cpu"]
    present.add("sbatch")
    assert memory.devices(stack(), "captions") == ["cpu", "cuda"]
    present.add("nvidia-smi")
    assert memory.devices(stack(), "captions") == ["cuda"]
    assert memory.devices(stack(captions={"device": "cpu"}), "captions") == ["cpu"]


def test_rules_can_ask_without_loading_torch():
    code = (
        "import sys; from ipcir_steps.config import load_config; from ipcir_steps.runtime.plan.memory import megabytes;"
        "megabytes(load_config({}).with_stack('published'), 'captions');"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'diffusers', 'open_clip')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_step_counts_the_half_of_clip_that_it_loads():
    """ViT-bigG/14 has 1.84 billion numbers for pictures, 0.69 for texts."""
    found = {
        tower: weights("clip", stack().clip["ViT-bigG-14"].source, tower=tower) for tower in ("image", "text", None)
    }
    assert found["image"].numbers + found["text"].numbers == pytest.approx(found[None].numbers, abs=1)
    assert found["text"].numbers == pytest.approx(0.695e9, rel=0.01)
    pictures, texts = (
        megabytes(stack(), f"{of}_features", backbone="ViT-bigG-14", device="cpu") for of in ("image", "text")
    )
    assert texts < 0.5 * pictures


def test_files_that_are_read_whole_count_whole(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": find("clip", BIG).parts["model"]}))
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(bytes(4000))
    assert weights("clip", str(tmp_path), tower="text") == weights("clip", str(tmp_path))
