"""Settings of the steps that look at images."""

from typing import Literal

from pydantic import Field

from ipcir_steps.config.base import AUTO_DTYPE, Count, Dtype, Fraction, Section, later


class Captions(Section):
    """Source captions with BLIP-2."""

    count: Count = Field(15, description="K: captions per reference image, drawn together")
    nucleus: bool = Field(True, description="nucleus sampling; false: beam search")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus sampling: probability mass kept")
    temperature: float = Field(1.0, gt=0, description="nucleus sampling temperature")
    beams: Count = Field(5, description="beam search: beams, at least K are used")
    repetition_penalty: float = Field(1.0, gt=0, description="above 1 discourages repeated words")
    max_new_tokens: Count = Field(30, description="longest caption, in tokens")
    prompt: str = Field("", description="text the caption continues; empty for the published model")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, …")
    dtype: Dtype = Field("auto", description=f"number format of the weights; {AUTO_DTYPE}")


class Masks(Section):
    """Reference-instance masks with Grounding DINO and SAM."""

    box_threshold: Fraction = Field(0.35, description="lowest score of a box that is kept")
    text_threshold: Fraction = Field(0.25, description="lowest score of a phrase token that is kept")
    best_of_three: bool = Field(
        False, description="SAM makes three masks of different extent; the one it rates highest is kept (published)"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, …")
    dtype: Dtype = Field("auto", description=f"number format of the weights; {AUTO_DTYPE}")


class Reading(Section):
    """How a multimodal language model reads what it encodes."""

    instruction: str = Field(
        "Represent the user's input.", description="system message before an image or a caption; empty: none"
    )
    query_instruction: str = Field(
        "Find the picture that shows what this picture shows, changed as the text says.",
        description="system message before a reference and its request (baseline joint); empty: none",
    )
    ending: str = Field("", description="text after the prompt whose state is the feature (GME: <|endoftext|>)")
    longest: Count = Field(768, description="pixels of the longer side of an image, at most")


class Embeddings(Section):
    """CLIP features."""

    architecture: str | None = Field(
        None,
        description="open_clip model name, where the model is one weights file (a directory says it itself); "
        "mteb:ORG/NAME: read by the loader of that model in the package mteb",
    )
    batch_size: Count = Field(64, description="images or captions per batch")
    workers: Count = Field(4, description="threads that decode and resize images")
    encoder: Literal["torch", "int8"] = Field(
        "torch",
        description="int8: weights of eight bits through ONNX Runtime, several times as fast on a CPU, exported once; "
        "the features are close to those of torch, never mixed with them",
    )
    preprocessing: Literal["auto", "target_pad", "model"] = later(
        "auto",
        description="target_pad: pad to ratio, resize, crop (published); model: as the model's own files say; auto: "
        "target_pad for models in open_clip's layout, model for those in transformers'",
    )
    reading: Reading = later(
        Reading(), description="how a multimodal language model as backbone reads images and texts"
    )
    ratio: float = Field(1.25, ge=1, description="target-pad: widest aspect ratio that is left unpadded")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, …")
    dtype: Dtype = Field(
        "auto", description=f"number format of the weights, features are stored as float32; {AUTO_DTYPE}"
    )
