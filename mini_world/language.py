"""Architectures of what speaks in the mini world: the captioner and the chat model.

The builders of checkpoints and the training scripts share them; weights are drawn from torch's generator.
"""

import torch

from mini_world.render import SIZE as IMAGE_SIZE

QUERIES = 8  # visual tokens that the captioner's decoder reads
IMAGE_TOKEN = "<image>"


def captioner(tokenizer) -> torch.nn.Module:
    """BLIP-2 on images of 64 pixels: vision transformer with patches of 8, Q-Former with 8 queries, OPT."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, OPTConfig

    size = {"hidden_size": 96, "num_attention_heads": 4, "intermediate_size": 256}
    text = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        word_embed_proj_dim=128,
        ffn_dim=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        dropout=0.0,
        init_std=0.05,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = Blip2Config(
        vision_config={
            **size, "num_hidden_layers": 4, "image_size": IMAGE_SIZE, "patch_size": 8, "initializer_range": 0.1,
        },
        qformer_config={
            **size, **quiet, "num_hidden_layers": 2, "encoder_hidden_size": 96, "vocab_size": len(tokenizer),
            "cross_attention_frequency": 1, "initializer_range": 0.1,
        },
        text_config=text.to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
    )  # fmt: skip
    model = Blip2ForConditionalGeneration(config)
    # Drawn as wide as what they are added to: from the usual 0.02 and 0, so small a model stays blind to places.
    torch.nn.init.normal_(model.vision_model.embeddings.position_embedding, std=0.5)
    torch.nn.init.normal_(model.query_tokens, std=1.0)
    return model


def chat(tokenizer) -> torch.nn.Module:
    """Qwen2 with 0.7 million parameters.

    Drawn as wide as its width asks for: at the usual 0.02 so narrow a model attends to everything alike, and takes
    thousands of steps before it copies.
    """
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        initializer_range=0.08,
        tie_word_embeddings=True,
        bos_token_id=pad,
        eos_token_id=end,
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(2.5)
        for layer in model.model.layers:  # these add to the stream, twice a layer
            for branch in (layer.self_attn.o_proj, layer.mlp.down_proj):
                branch.weight.mul_((2 * config.num_hidden_layers) ** -0.5)
    model.generation_config = GenerationConfig(
        bos_token_id=pad, eos_token_id=[end, pad], pad_token_id=pad, do_sample=True, temperature=0.7, top_p=0.8
    )
    return model
