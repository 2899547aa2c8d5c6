"""Tiny checkpoints of the real classes, each laid out on disk as the published one is.

Weights are drawn from the seed, then replaced by the trained ones where those are given, in float32 safetensors:
whatever runs with these runs with the published weights, and the reverse.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch

from ipcir_steps.core.files import seed as derive
from mini_world import language, tokenizers
from mini_world.render import SIZE as IMAGE_SIZE
from mini_world.shipped import settle


def build(directory: str | Path, seed: int, weights: Path | None = None) -> None:
    """Write every model below ``directory``; the same seed and weights give the same bytes.

    weights: directory of trained weights; None leaves the models untrained.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    for name, make in BUILDERS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "mini", name))
            make(Path(directory) / name, weights)


CLIP = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 24, "patch_size": None},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}


def clip_model(vocabulary: int = CLIP["text_cfg"]["vocab_size"]) -> torch.nn.Module:
    """open_clip: a small ResNet tower, a text tower; embeddings of 64 dimensions."""
    from open_clip import CLIP as Clip

    return Clip(**{**CLIP, "text_cfg": {**CLIP["text_cfg"], "vocab_size": vocabulary}})


def clip(path: Path, weights: Path | None = None) -> None:
    """CLIP with the standard text tokenizer.

    The trained weights hold the embeddings of the words that the mini world uses ("tokens"); the first of
    them, that of unknown words, fills all other rows.
    """
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from safetensors.torch import save_file

    preprocess = {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD, "interpolation": "bicubic"}
    path.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": CLIP, "preprocess_cfg": preprocess}, indent=2)
    (path / "open_clip_config.json").write_text(text + "\n", encoding="utf-8")

    def all_rows(trained: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tokens, rows = trained.pop("tokens"), trained["token_embedding.weight"]
        embedding = rows[:1].repeat(CLIP["text_cfg"]["vocab_size"], 1)
        embedding[tokens[1:]] = rows[1:]
        return {**trained, "token_embedding.weight": embedding}

    state = settle(clip_model(), weights, "clip", all_rows).state_dict()
    state = {k: v.contiguous() for k, v in state.items()}
    save_file(state, path / "open_clip_model.safetensors", metadata={"format": "pt"})


def captions_processor():
    """What turns pictures of 64 pixels into the captioner's input, and holds its tokenizer."""
    from transformers import Blip2Processor, BlipImageProcessor

    images = BlipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return Blip2Processor(images, tokenizers.opt(), num_query_tokens=language.QUERIES)


def blip2(path: Path, weights: Path | None = None) -> None:
    """BLIP-2: vision transformer, Q-Former with 8 queries, OPT."""
    processor = captions_processor()
    settle(language.captioner(processor.tokenizer), weights, "blip2").save_pretrained(path)
    processor.save_pretrained(path)
    processor.image_processor.save_pretrained(path)


def qwen(path: Path, weights: Path | None = None) -> None:
    """Qwen2 with its chat format."""
    settle(language.chat(tokenizers.qwen(path)), weights, "qwen").save_pretrained(path)


def grounding_dino_model() -> tuple[torch.nn.Module, object]:
    """Grounding DINO and its tokenizer: a small ConvNeXt in place of Swin, for images of 64 pixels; BERT; few queries.

    The backbone gives one map of 16 x 16 and one of 8 x 8.
    """
    from transformers import (
        BertConfig,
        BertTokenizer,
        ConvNextConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
    )

    tokenizer = BertTokenizer(vocab=tokenizers.bert_vocabulary(), do_lower_case=True, model_max_length=512)
    backbone = ConvNextConfig(
        image_size=IMAGE_SIZE,
        hidden_sizes=[48, 96],
        depths=[2, 2],
        num_stages=2,
        layer_scale_init_value=1.0,
        out_features=["stage1", "stage2"],
    )
    text = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=64,
        num_queries=8,
        num_feature_levels=2,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        dropout=0.0,
        fusion_droppath=0.0,
        auxiliary_loss=True,
        max_text_len=64,
        disable_custom_kernels=True,
    )
    return GroundingDinoForObjectDetection(config), tokenizer


def grounding_dino(path: Path, weights: Path | None = None) -> None:
    """Grounding DINO with its processor."""
    from transformers import GroundingDinoImageProcessor, GroundingDinoProcessor

    model, tokenizer = grounding_dino_model()
    images = GroundingDinoImageProcessor(size={"shortest_edge": IMAGE_SIZE, "longest_edge": IMAGE_SIZE})
    settle(model, weights, "grounding_dino").save_pretrained(path)
    GroundingDinoProcessor(images, tokenizer).save_pretrained(path)
    images.save_pretrained(path)
    vocabulary = "\n".join(tokenizers.bert_vocabulary()) + "\n"
    (path / "vocab.txt").write_text(vocabulary, encoding="utf-8")


def sam_model() -> torch.nn.Module:
    """Segment Anything on images of 64 pixels: 8 x 8 image embeddings, 32 x 32 masks before upsampling."""
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "image_size": IMAGE_SIZE,
            "patch_size": 8,
            "hidden_size": 64,
            "output_channels": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "mlp_dim": 128,
            "window_size": 4,
            "global_attn_indexes": [1, 2],
            "num_pos_feats": 16,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={
            "hidden_size": 32,
            "image_size": IMAGE_SIZE,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
    )
    model = SamModel(config)
    # Drawn with a deviation of half the vision width, which tells two neighbouring pixels apart but not that they are
    # neighbours; published weights have a deviation near one.
    embedding = model.shared_image_embedding  # the prompt encoder shares its numbers
    embedding.positional_embedding.data.div_(embedding.scale)
    return model


def sam(path: Path, weights: Path | None = None) -> None:
    """SAM with its processor."""
    from transformers import SamImageProcessor, SamProcessor

    edge, low = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}, {"height": 32, "width": 32}
    settle(sam_model(), weights, "sam").save_pretrained(path)
    images = SamImageProcessor(
        size={"longest_edge": IMAGE_SIZE}, pad_size=edge, mask_size={"longest_edge": 32}, mask_pad_size=low
    )
    SamProcessor(images).save_pretrained(path)
    images.save_pretrained(path)


def mapping(name: str) -> torch.nn.Module:
    """The network of SEARLE or LinCIR, or Pic2Word's: image features of 64 dimensions to words of 64."""
    from ipcir_steps.seek.baselines.pseudo_words import IM2TEXT, Phi

    if name == "pic2word":
        return IM2TEXT(dim=64, middle=384, out=64)
    return Phi(dim=64, hidden=384, out=64, dropout=0.1)


def _mapping(name: str, path: Path, weights: Path | None = None) -> None:
    _save(settle(mapping(name), weights, name), path)


def judge(path: Path, weights: Path | None = None) -> None:
    """The classifier that measures proxies; no step of the pipeline reads it."""
    from mini_world.training.judge import Judge

    _save(settle(Judge(), weights, "judge"), path)


def _save(network: torch.nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    path.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), path / "model.safetensors", metadata={"format": "pt"})


def drawing(name: str) -> Callable[[Path, Path | None], None]:
    """Stable Diffusion, MIGC, the parts of ELITE, and the LoRA for a few steps."""

    def make(path: Path, weights: Path | None = None) -> None:
        from mini_world import diffusion

        getattr(diffusion, name)(path, weights)

    return make


BUILDERS = {
    "clip": clip, "blip2": blip2, "qwen": qwen, "grounding_dino": grounding_dino, "sam": sam,
    **{name: drawing(name) for name in ("sd", "migc", "elite_global", "elite_local", "elite_vision", "lcm")},
    **{name: functools.partial(_mapping, name) for name in ("searle", "lincir", "pic2word")}, "judge": judge,
}  # fmt: skip
