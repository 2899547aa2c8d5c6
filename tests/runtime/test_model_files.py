"""Of each published repository the files are fetched that its loader opens, all of them and no other byte."""

import json
import sys
from pathlib import Path

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.config.generation import Proxies
from ipcir_steps.config.language import LLM as Settings
from ipcir_steps.config.vision import Captions, Masks
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.runtime.model_files import Repository, wanted
from tests.hub import captioners
from tests.hub.opened import opened
from tests.hub.published import CAPTIONER, CLIP, DETECTOR, GENERATOR, LLM, ROLES, SEGMENTER, VISION, quantised

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells which files are opened on Linux only")


def test_these_are_the_repositories_of_the_published_stack():
    stack = load_config({}).stacks["published"]
    roles = {model.source: role for role, model in stack.models.items() if model.revision}
    assert roles | dict.fromkeys((model.source for model in stack.clip.values()), "clip") == ROLES


def fetched(hub, repository, directory, *words):
    """Manifest of the fetched repository, a captioner's where it is none of the published ones."""
    where = {"--directory": directory / "model", "--output": directory / "model.json"}
    options = [word for pair in where.items() for word in pair]
    role = ("--role", ROLES.get(repository, "captioner"))
    done = hub.fetch(
        "--name", "m", "--source", repository, "--revision", "main", *role, *options, *words, home=directory
    )
    assert done.returncode == 0, done.stderr
    return load_manifest(directory / "model.json")


def load_captioner(manifest, other):
    from ipcir_steps.imagine.captions import captioner

    captioner(manifest.path, Captions())


def load_llm(manifest, other):
    from ipcir_steps.imagine.llm.local import Local

    Local(Settings(), Path(manifest.path), 1).loaded  # noqa: B018


def load_detector(manifest, other):
    import mini_world.models
    from ipcir_steps.imagine.masks import segmenter

    mini_world.models.sam(other / "sam")
    segmenter(manifest.path, other / "sam", Masks())


def load_segmenter(manifest, other):
    import mini_world.models
    from ipcir_steps.imagine.masks import segmenter

    mini_world.models.grounding_dino(other / "detector")
    segmenter(other / "detector", manifest.path, Masks())


def load_generator(manifest, other):
    from diffusers import StableDiffusionPipeline

    from ipcir_steps.imagine.proxies.text_to_image import load_pipeline

    return load_pipeline(StableDiffusionPipeline, manifest, Proxies())


def load_vision(manifest, other):
    from transformers import CLIPVisionModel

    from ipcir_steps.core.pretrained import load_pretrained

    load_pretrained(CLIPVisionModel, manifest.path, "CLIP vision model")


def load_clip(manifest, other):
    from ipcir_steps.seek.embeddings.clip import load_encoder

    load_encoder(other / "model.json").texts(["a dog"])


LOADERS = {
    CAPTIONER: load_captioner, LLM: load_llm, DETECTOR: load_detector, SEGMENTER: load_segmenter,
    GENERATOR: load_generator, VISION: load_vision, **dict.fromkeys(CLIP.values(), load_clip),
}  # fmt: skip


@linux
@pytest.mark.parametrize(("repository", "dtype"), [*((name, "auto") for name in LOADERS), (GENERATOR, "float32")])
def test_no_byte_is_fetched_that_is_not_loaded(hub, tmp_path, repository, dtype):
    manifest = fetched(hub, repository, tmp_path, "--dtype", dtype)
    with opened(tmp_path / "model") as files:
        LOADERS[repository](manifest, tmp_path)
    assert files == set(manifest.files) and not hub.strange
    whole = hub.repositories[repository]
    assert sum(hub.sent.values()) == sum(len(whole[name]) for name in manifest.files) < sum(map(len, whole.values()))


@linux
@pytest.mark.parametrize("repository", captioners.BUILDERS)
def test_captioners_of_other_stacks(hub, tmp_path, repository):
    from PIL import Image

    from ipcir_steps.imagine.captions import captioner

    captioners.BUILDERS[repository](tmp_path / "built")
    files = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    hub.repositories[repository] = files
    manifest = fetched(hub, repository, tmp_path)
    with opened(tmp_path / "model") as read:
        caption = captioner(manifest.path, Captions(count=2, max_new_tokens=4))
    assert read == set(manifest.files) < set(files)
    assert len(caption(Image.linear_gradient("L").convert("RGB").resize((56, 56)), 1)) == 2


@linux
def test_a_quantised_language_model(hub, tmp_path):
    """The quantised loader takes the description from config.json and never opens quantize_config.json."""
    pytest.importorskip("gptqmodel", reason="reads GPTQ weights")
    hub.repositories[LLM] = quantised(hub.repositories[LLM])
    manifest = fetched(hub, LLM, tmp_path)
    with opened(tmp_path / "model") as files:
        load_llm(manifest, tmp_path)
    assert files == set(manifest.files) and "quantize_config.json" not in files


@linux
def test_a_text_tower_with_a_tokenizer_of_its_own(hub, tmp_path):
    """As SigLIP's in open_clip's layout: the tokenizer lies beside the weights."""
    files = hub.repositories[CLIP["ViT-B-32"]]
    config = json.loads(files["open_clip_config.json"])
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "timm/ViT-B-16-SigLIP"
    files["open_clip_config.json"] = json.dumps(config).encode()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        files[name] = hub.repositories[DETECTOR][name]
    manifest = fetched(hub, CLIP["ViT-B-32"], tmp_path)
    with opened(tmp_path / "model") as read:
        load_clip(manifest, tmp_path)
    assert read == set(manifest.files) and "tokenizer.json" in read


@linux
def test_what_opening_means(tmp_path):
    """The trace sees files that are opened by Python and by compiled code, and no others."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    (tmp_path / "folder").mkdir()
    for name in ("a", "b", "folder/c"):
        (tmp_path / name).write_text("x")
    save_file({"x": __import__("numpy").zeros(3)}, tmp_path / "folder/d")
    with opened(tmp_path) as files:
        (tmp_path / "a").read_text()
        (tmp_path / "b").stat()
        list((tmp_path / "folder").iterdir())
        with safe_open(tmp_path / "folder/d", "numpy") as file:
            file.keys()
    assert files == {"a", "folder/d"}


def test_the_precision_decides_which_weights_of_a_pipeline(hub, tmp_path):
    import torch

    half = fetched(hub, GENERATOR, tmp_path, "--dtype", "float16")
    names = set(half.files)
    assert {"unet/diffusion_pytorch_model.fp16.safetensors", "text_encoder/model.fp16.safetensors"} < names
    assert load_generator(half, tmp_path).unet.dtype == torch.float32, "on a CPU, where auto is float32"
    whole = fetched(hub, GENERATOR, tmp_path, "--dtype", "float32")
    assert {"unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"} < set(whole.files)
    assert not [name for name in whole.files if "fp16" in name], "what the setting left behind is gone"
    assert not list((tmp_path / "model").rglob("*fp16*"))


def names(role, files, half=True, file=None):
    """files: names, or content of JSON files by name."""
    content = files if isinstance(files, dict) else {key: {} for key in files}
    return wanted(Repository("me/model", content, lambda name: content[name]), role, half, file)


CHAT = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
INDEX = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
SHARDS = {"model.safetensors.index.json": INDEX, **{key: {} for key in sorted(INDEX["weight_map"].values())}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"config.json": {"quantization_config": {"quant_method": "gptq"}}, "quantize_config.json": {}}, []),
        ({"quantize_config.json": {}}, ["quantize_config.json"]),
        ({"quant_config.json": {}}, ["quant_config.json"]),
        ({"vocab.json": {}, "merges.txt": {}, "pytorch_model.bin": {}, "original/consolidated.00.pth": {}}, []),
        ({"chat_template.jinja": {}, "additional_chat_templates/tools.jinja": {}},
         ["additional_chat_templates/tools.jinja", "chat_template.jinja"]),
        ({"preprocessor_config.json": {}, "video.mp4": {}}, ["preprocessor_config.json"]),
    ],
)  # fmt: skip
def test_a_language_model(more, expected):
    """Early quantised checkpoints describe their quantisation in a file of its own, later ones in config.json."""
    assert names("llm", {**{key: {} for key in CHAT}, **more}) == sorted([*CHAT, *expected])


def test_weights_in_order_of_preference():
    rest = {"config.json": {}}
    assert names("vision", {**rest, **SHARDS, "model.safetensors": {}}) == ["config.json", "model.safetensors"]
    assert names("vision", {**rest, **SHARDS, "pytorch_model.bin": {}}) == sorted([*rest, *SHARDS])
    assert names("vision", {**rest, "pytorch_model.bin": {}, "tf_model.h5": {}}) == ["config.json", "pytorch_model.bin"]
    pickled = {"pytorch_model.bin.index.json": {"weight_map": {"a": "pytorch_model-1.bin"}}, "pytorch_model-1.bin": {}}
    assert names("vision", {**rest, **pickled}) == sorted([*rest, *pickled])
    with pytest.raises(ModelError, match=r"me/model holds no model.safetensors and no pytorch_model.bin"):
        names("vision", rest)
    del (part := {**rest, **SHARDS})["model-00002-of-00002.safetensors"]
    with pytest.raises(ModelError, match=r"index.json names model-00002-of-00002.safetensors, which is not there"):
        names("vision", part)


def test_a_tokenizer_without_its_fast_form_needs_its_vocabulary():
    slow = ("config.json", "tokenizer_config.json", "vocab.json", "merges.txt", "model.safetensors")
    assert names("llm", slow) == sorted(slow)


def test_a_processor_of_transformers_5_is_one_file():
    files = ("config.json", "preprocessor_config.json", "model.safetensors")
    assert names("segmenter", files) == sorted(files)
    new = {**{key: {} for key in files}, "processor_config.json": {"image_processor": {}}}
    assert names("segmenter", new) == ["config.json", "model.safetensors", "processor_config.json"]


def test_clip_with_a_tokenizer_of_its_own():
    files = {
        "open_clip_config.json": {"model_cfg": {"text_cfg": {}}},
        "tokenizer.json": {},
        "tokenizer_config.json": {},
    }
    files |= {"open_clip_model.safetensors": {}, "open_clip_pytorch_model.bin": {}, "model.safetensors": {}}
    assert names("clip", files) == ["open_clip_config.json", "open_clip_model.safetensors"]
    files["open_clip_config.json"] = {"model_cfg": {"text_cfg": {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}}}
    assert names("clip", files) == [
        "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    with pytest.raises(ModelError, match="no open_clip_config.json and no config.json, so it is no CLIP"):
        names("clip", ["model.safetensors"])
    # The layout of transformers, where there is no other.
    more = ("config.json", "preprocessor_config.json", "pytorch_model.bin", "model.safetensors", "tokenizer.json")
    assert names("clip", more) == ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
    assert "open_clip_config.json" in names("clip", {**files, "config.json": {}})


def test_a_pipeline_in_shards_with_a_variant_for_some_parts():
    parts = {"transformer": ["diffusers", "Transformer"], "text_encoder_2": ["transformers", "T5EncoderModel"]}
    parts |= {"vae": ["diffusers", "AutoencoderKL"], "image_encoder": [None, None], "requires": False}
    stem = "transformer/diffusion_pytorch_model"
    half = {f"{stem}.safetensors.index.fp16.json": {"weight_map": {"a": "diffusion_pytorch_model.fp16-1.safetensors"}}}
    files = {
        "model_index.json": {"_class_name": "FluxPipeline", **parts}, "transformer/config.json": {}, **half,
        f"{stem}.fp16-1.safetensors": {}, f"{stem}.safetensors": {}, "vae/config.json": {},
        "vae/diffusion_pytorch_model.safetensors": {}, "text_encoder_2/config.json": {},
        **{f"text_encoder_2/{name}": content for name, content in SHARDS.items()}, "onnx/model.safetensors": {},
    }  # fmt: skip
    assert names("generator", files) == sorted({*files} - {f"{stem}.safetensors", "onnx/model.safetensors"})
    unneeded = {*half, f"{stem}.fp16-1.safetensors", "onnx/model.safetensors"}
    assert names("generator", files, half=False) == sorted({*files} - unneeded)
    with pytest.raises(ModelError, match="no model_index.json, so it is no diffusers pipeline"):
        names("generator", ["model.safetensors"])


def test_one_file_of_a_repository():
    files = ("README.md", "lincir_large.pt", "pic2word_large.pt")
    assert names("mapping", files, file="lincir_large.pt") == ["lincir_large.pt"]
    assert names("mapping", files[:2]) == ["lincir_large.pt"]
    with pytest.raises(ModelError, match=r"holds 2 weights files \(lincir_large.pt, pic2word_large.pt\): say which"):
        names("mapping", files)
    with pytest.raises(ModelError, match="holds no file searle.pt"):
        names("mapping", files, file="searle.pt")
    assert names("judge", [".gitattributes", *files]) == ["lincir_large.pt", "pic2word_large.pt"]


def test_an_index_that_is_no_json_is_told(hub, tmp_path):
    hub.repositories[CAPTIONER]["model.safetensors.index.json"] = b"{"
    done = hub.fetch(
        "--name", "captioner", "--source", CAPTIONER, "--revision", "main", "--role", "captioner",
        "--directory", tmp_path / "model", "--output", tmp_path / "model.json", home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2 and "model.safetensors.index.json of Salesforce" in done.stderr
    assert "is not valid JSON" in done.stderr and json.loads(hub.repositories[CAPTIONER]["config.json"])
