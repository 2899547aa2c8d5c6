"""Which files of a hub repository the loader of a role reads: no other is fetched.

What each loader opens was traced (``tests/runtime/test_model_files.py`` traces it again): one format and one precision
of the weights, safetensors before others; ``tokenizer.json`` in place of the vocabulary that it was made from; no
safety checker, no cards, no pictures.
"""

import re
from collections.abc import Callable, Collection

from ipcir_steps.core.checkpoints import WEIGHTS
from ipcir_steps.core.errors import ModelError
from ipcir_steps.imagine.proxies.pipeline_files import HALF, left_out

CONFIG = ("config.json", "generation_config.json")
TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")
VOCABULARY = ("vocab.json", "merges.txt", "vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
PROCESSOR = ("processor_config.json", "video_preprocessor_config.json", "chat_template.json")
# Where the configuration does not describe the quantisation itself, as that of early GPTQ and AWQ checkpoints.
QUANTISATION = ("quantize_config.json", "quant_config.json")
EXPORTED = ("onnx/", "openvino/", "coreml/")  # folders with the same model for other engines
OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")


class Repository:
    """The names of a repository's files, and its small JSON files, read when they decide about others."""

    def __init__(self, source: str, names: Collection[str], read: Callable[[str], dict]):
        self.source, self.names, self.read = source, set(names), read

    def present(self, *names: str, folder: str = "") -> list[str]:
        return [folder + name for name in names if folder + name in self.names]

    def lacks(self, what: str) -> ModelError:
        return ModelError(f"{self.source} holds no {what}. Name another repository or revision of it.")

    def tokenizer(self, folder: str = "") -> list[str]:
        files = self.present("tokenizer.json", folder=folder) or self.present(*VOCABULARY, folder=folder)
        more = [name for name in self.names if name.startswith(f"{folder}additional_chat_templates/")]
        return files + self.present(*TOKENIZER, folder=folder) + more

    def processor(self) -> list[str]:
        """Since transformers 5 processor_config.json may hold what preprocessor_config.json held."""
        files = self.present(*PROCESSOR)
        if "processor_config.json" in files and "image_processor" in self.read("processor_config.json"):
            return files
        return files + self.present("preprocessor_config.json")

    def weights(self, stem: str, folder: str = "", variant: str | None = None, pickled: str | None = None) -> list[str]:
        """One file, or an index and its shards, in the loaders' order of preference.

        stem: name without ending; variant: precision that is taken where the repository has it; pickled: stem of the
        files that are read where there are no safetensors. Raises ModelError when there are none of them.
        """
        candidates = [(f"{stem}.safetensors", f"{stem}.safetensors.index.json")]
        if variant:
            candidates.insert(0, (f"{stem}.{variant}.safetensors", f"{stem}.safetensors.index.{variant}.json"))
        if pickled:
            candidates.append((f"{pickled}.bin", f"{pickled}.bin.index.json"))
        for single, index in candidates:
            if self.present(single, folder=folder):
                return [folder + single]
            if self.present(index, folder=folder):
                shards = sorted(set(self.read(folder + index)["weight_map"].values()))
                if missing := [shard for shard in shards if folder + shard not in self.names]:
                    raise ModelError(f"{self.source}: {folder}{index} names {missing[0]}, which is not there.")
                return [folder + index, *(folder + shard for shard in shards)]
        raise self.lacks(f"{folder}{stem}.safetensors" + (f" and no {folder}{pickled}.bin" if pickled else ""))


def transformers_weights(repository: Repository) -> list[str]:
    return repository.weights("model", pickled="pytorch_model")


def captioner(repository: Repository, half: bool) -> list[str]:
    files = repository.present(*CONFIG) + repository.processor() + repository.tokenizer()
    return files + transformers_weights(repository)


def llm(repository: Repository, half: bool) -> list[str]:
    """Of a model that takes images, its image processor too."""
    files = repository.present(*CONFIG)
    if files and "quantization_config" not in repository.read("config.json"):
        files += repository.present(*QUANTISATION)
    return files + repository.processor() + repository.tokenizer() + transformers_weights(repository)


def detector(repository: Repository, half: bool) -> list[str]:
    files = repository.present("config.json") + repository.processor() + repository.tokenizer()
    return files + transformers_weights(repository)


def segmenter(repository: Repository, half: bool) -> list[str]:
    return repository.present("config.json") + repository.processor() + transformers_weights(repository)


def vision(repository: Repository, half: bool) -> list[str]:
    return repository.present("config.json") + transformers_weights(repository)


def generator(repository: Repository, half: bool) -> list[str]:
    """The diffusers layout: each part that model_index.json names, weights in half precision where they are wanted."""
    if "model_index.json" not in repository.names:
        raise repository.lacks("model_index.json, so it is no diffusers pipeline")
    files, index = ["model_index.json"], repository.read("model_index.json")
    for part, value in index.items():
        if part not in left_out(index) and isinstance(value, list) and isinstance(value[0], str):
            files += part_of_pipeline(repository, f"{part}/", *value, HALF if half else None)
    return files


def part_of_pipeline(repository: Repository, folder: str, library: str, kind: str, variant: str | None) -> list[str]:
    if "Scheduler" in kind:
        return repository.present("scheduler_config.json", folder=folder)
    if "Tokenizer" in kind:
        return repository.tokenizer(folder)
    if kind.endswith(("Processor", "FeatureExtractor")):
        files = repository.present(*PROCESSOR, "preprocessor_config.json", folder=folder)
        return files + (repository.tokenizer(folder) if "Image" not in kind else [])
    stem = "model" if library == "transformers" else "diffusion_pytorch_model"
    return repository.present(*CONFIG, folder=folder) + repository.weights(stem, folder, variant)


def decoder(repository: Repository, half: bool) -> list[str]:
    return repository.present("config.json") + repository.weights("diffusion_pytorch_model")


def clip(repository: Repository, half: bool) -> list[str]:
    """open_clip's layout, with the tokenizer of text towers that bring their own (SigLIP); else transformers'."""
    if "open_clip_config.json" not in repository.names:
        if "config.json" in repository.names:
            return detector(repository, half)
        raise repository.lacks("open_clip_config.json and no config.json, so it is no CLIP")
    weights = repository.present(*OPEN_CLIP)[:1]
    if not weights:
        raise repository.lacks(OPEN_CLIP[0])
    text = repository.read("open_clip_config.json").get("model_cfg", {}).get("text_cfg", {})
    own = repository.tokenizer() if text.get("hf_tokenizer_name") else []
    return ["open_clip_config.json", *own, *weights]


def mteb(repository: Repository, half: bool) -> list[str]:
    """What the loaders of the package mteb may open: configurations, vocabularies and safetensors in any folder; no
    code and nothing that is pickled."""
    names = [name for name in repository.names if not name.startswith((*EXPORTED, "."))]
    weights = [name for name in names if name.endswith(".safetensors")]
    if not weights:
        raise repository.lacks("safetensors, the only weights that a loader of mteb is given")
    return weights + [name for name in names if name.endswith((".json", ".jinja", *VOCABULARY))]


def one_file(repository: Repository, half: bool) -> list[str]:
    found = sorted(name for name in repository.names if name.endswith(WEIGHTS))
    if len(found) != 1:
        raise ModelError(
            f"{repository.source} holds {len(found)} weights files ({', '.join(found[:5])}): say which one with `file`."
        )
    return found


LOADERS: dict[str, Callable[[Repository, bool], list[str]]] = {
    "captioner": captioner, "llm": llm, "detector": detector, "segmenter": segmenter, "vision": vision,
    "generator": generator, "clip": clip, "mteb": mteb,
    "decoder": decoder, **dict.fromkeys(("migc", "elite_global", "elite_local", "mapping", "lora"), one_file),
}  # fmt: skip


def wanted(repository: Repository, role: str | None, half: bool, file: str | None = None) -> list[str]:
    """The files to fetch, sorted.

    role: a key of ``LOADERS``; any other takes the whole repository. half: the loader computes in half precision, so
    weights stored in it are enough. file: that one alone.
    Raises ModelError when the repository does not hold what the loader needs.
    """
    if file is not None:
        if file not in repository.names:
            raise repository.lacks(f"file {file}")
        return [file]
    if role not in LOADERS:
        return sorted(name for name in repository.names if not re.match(r"\.git|\.cache|README", name))
    return sorted(set(LOADERS[role](repository, half)))
