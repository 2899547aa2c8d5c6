from pathlib import Path

import numpy as np
import pytest
import torch

from ipcir_steps.core.errors import InputError, ModelError
from ipcir_steps.seek.baselines.pseudo_words import (
    IM2TEXT,
    SLOT,
    Phi,
    encode_with_pseudo_words,
    load_mapping,
    tokenize_with_slots,
)

from .conftest import fill


@torch.no_grad()
def test_a_caption_with_a_dollar_of_its_own_survives(encoder):
    """Putting the embedding of "$" in the slot must give the plain text feature, wherever other dollars stand."""
    texts = [f"a photo of {SLOT} that costs $ 5", f"it costs $ 5 like {SLOT} $", f"{SLOT} for $5"]
    tokens, positions = tokenize_with_slots(encoder.tokenize, texts, "$")
    assert positions.tolist() == [4, 6, 1]
    dollar = encoder.token_embedding.weight[259][None]
    plain = encoder.texts([text.replace(SLOT, "$") for text in texts])
    torch.testing.assert_close(encode_with_pseudo_words(encoder.model, tokens, dollar, positions), plain)
    # another word changes only its own slot: the same as the embedding of "dog" in place of the first dollar
    dog = encoder.tokenize(["dog"])[0, 1]
    named = encoder.texts([text.replace(SLOT, "dog") for text in texts])
    words = encoder.token_embedding.weight[dog][None]
    torch.testing.assert_close(encode_with_pseudo_words(encoder.model, tokens, words, positions), named)


def test_the_hook_is_gone_afterwards_and_gradients_flow(encoder):
    tokens, positions = tokenize_with_slots(encoder.tokenize, [f"a {SLOT} here"], "$")
    before = encoder.texts(["a $ here"])
    words = torch.zeros(1, 32, requires_grad=True)
    encode_with_pseudo_words(encoder.model, tokens, words, positions).sum().backward()
    assert words.grad.abs().sum() > 0
    assert torch.equal(encoder.texts(["a $ here"]), before)


def test_a_slot_beyond_the_context_is_an_error(encoder):
    with pytest.raises(InputError, match="not within the text encoder's context"):
        tokenize_with_slots(encoder.tokenize, ["word " * 90 + SLOT], "$")


def test_a_long_caption_after_the_slot_is_cut(encoder):
    tokens, positions = tokenize_with_slots(encoder.tokenize, [f"a photo of {SLOT} that " + "word " * 90], "$")
    assert tokens.shape == (1, 77) and positions.tolist() == [4]


@torch.no_grad()
def test_text_towers_of_other_classes(encoder, clip_config):
    """CustomTextCLIP keeps its embeddings elsewhere."""
    import open_clip

    torch.manual_seed(0)
    model = open_clip.model.CustomTextCLIP(**clip_config).eval()
    tokens, positions = tokenize_with_slots(encoder.tokenize, [f"a {SLOT} here"], "$")
    dog = model.text.token_embedding.weight[encoder.tokenize(["dog"])[0, 1]][None]
    found = encode_with_pseudo_words(model, tokens, dog, positions)
    torch.testing.assert_close(found, model.encode_text(encoder.tokenize(["a dog here"])))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("kind", "network", "wrapper", "prefix"),
    [
        (Phi, Phi(8, 32, 6), "Phi", ""),
        (Phi, Phi(8, 32, 6), None, ""),
        (IM2TEXT, IM2TEXT(8, 16, 6, 3), "state_dict_img2text", "module."),
    ],
)
def test_checkpoints_as_published(tmp_path, kind, network, wrapper, prefix, suffix):
    from safetensors.torch import save_file

    fill(network, "network")
    path = tmp_path / f"network{suffix}"
    state = {prefix + key: value for key, value in network.state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    features = torch.randn(3, 8)
    assert torch.equal(load_mapping(path, kind)(features), network(features))
    with pytest.raises(ModelError, match="checkpoint"):
        load_mapping(path, Phi if kind is IM2TEXT else IM2TEXT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("script", ["searle", "lincir", "pic2word"])
def test_files_of_the_published_trainings(tmp_path, script, dtype):
    """What train_phi.py (SEARLE, LinCIR) and main.py (Pic2Word, on several GPUs) put into their files."""
    network = IM2TEXT(8, 16, 6, 2) if script == "pic2word" else Phi(8, 32, 6)
    fill(network, script)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.5 * (1 + np.cos(np.pi * 0.3)) * 1e-4  # a schedule's learning rate
    state = {key: value.to(dtype) for key, value in network.state_dict().items()}
    several = {f"module.{key}": value for key, value in state.items()}
    content = {
        "searle": {"epoch": 20, "Phi": state, "optimizer": optimizer.state_dict(), "training_path": Path("/phi")},
        "lincir": {"epoch": np.int64(20000), "Phi": state},
        "pic2word": {
            "epoch": 30, "name": "cc", "state_dict": {"module.logit_scale": torch.ones(())},
            "state_dict_img2text": several, "optimizer": optimizer.state_dict(),
        },
    }  # fmt: skip
    torch.save(content[script], tmp_path / "x.pt")
    loaded = load_mapping(tmp_path / "x.pt", type(network))
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, state[key].float())


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"Phi": Evil()}, tmp_path / "phi.pt")
    with pytest.raises(ModelError, match="could run code"):
        load_mapping(tmp_path / "phi.pt", Phi)
