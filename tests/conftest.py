"""Shared fixtures. Tests that need the published data skip when it is not beside the checkout."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _published() -> Path | None:
    root = Path(os.environ.get("IPCIR_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def published() -> Path:
    """Directory of published annotations, layouts, masks and features."""
    root = _published()
    if root is None:
        pytest.skip("published data is absent (../shared/data, or set IPCIR_SHARED)")
    return root


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A byte-level BPE tokenizer trained on a few sentences; the special tokens that models need are added to it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<|im_start|>", "<|im_end|>", "<image>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    words = ["a photo of two dogs on the grass", '"label":"dog","category":"dog","description":"a brown dog"'] * 20
    tokenizer.train_from_iterator(words, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<|im_end|>", bos_token="<|im_start|>"
    )


@pytest.fixture(scope="session")
def tiny_chat_model(tmp_path_factory, tiny_tokenizer) -> Path:
    """Directory of an untrained Qwen2 with a chat template."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    directory = tmp_path_factory.mktemp("tiny_chat")
    tiny_tokenizer.chat_template = CHATML
    tiny_tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=448,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=tiny_tokenizer.bos_token_id,
        eos_token_id=tiny_tokenizer.eos_token_id,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def clip_config() -> dict:
    """A CLIP small enough for tests, with CLIP's own tokenizer."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    return {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}


@pytest.fixture(scope="session")
def clip_directory(tmp_path_factory, clip_config) -> Path:
    """Directory of an untrained CLIP in open_clip's own layout."""
    import json

    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("clip")
    config = {"model_cfg": clip_config, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    state = {key: value.contiguous() for key, value in CLIP(**clip_config).state_dict().items()}
    save_file(state, directory / "open_clip_model.safetensors")
    return directory


@pytest.fixture(scope="session")
def encoder(clip_directory):
    """The same model, loaded."""
    from ipcir_steps.embeddings.clip import load_encoder

    return load_encoder(clip_directory)
