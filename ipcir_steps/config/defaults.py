"""The built-in datasets: the mini world and the benchmarks; the baselines."""

from ipcir_steps.config.data import MINI, Dataset

# The released code: 0.65 with CLIP ViT-L/14, 0.3 with ViT-g/14, which the paper calls G.
CIRCO_LAMBDA = {"default": 0.3, "ViT-L-14": 0.65}
UNTUNED = 0.5  # the paper has no value for these benchmarks


def _dataset(benchmark: str, root: str, lam: float | dict, *, exclude_reference: bool = False, **more) -> Dataset:
    values = {"benchmark": benchmark, "root": root, "split": "val", "exclude_reference": exclude_reference}
    return Dataset(**{**values, "lambda": lam, **more})


_WORLD = f"{MINI}/world"
DATASETS = {
    "mini_cirr": _dataset(
        "cirr", f"{_WORLD}/mini_cirr", 0.5, stack="mini", hidden_split="test1", exclude_reference=True
    ),
    "mini_circo": _dataset("circo", f"{_WORLD}/mini_circo", 0.5, stack="mini", hidden_split="test"),
    "mini_fashioniq": _dataset("fashioniq", f"{_WORLD}/mini_fashioniq", 0.8, stack="mini"),
    "mini_twins": _dataset("cirr", f"{MINI}/twins/mini_twins", 0.0, stack="mini", exclude_reference=True),
    "cirr": _dataset("cirr", "data/CIRR", 0.0, hidden_split="test1", exclude_reference=True),
    "circo": _dataset("circo", "data/CIRCO", CIRCO_LAMBDA, hidden_split="test"),
    "fashioniq": _dataset("fashioniq", "data/FashionIQ", 0.8, missing_images="skip"),
    "fashioniq_pairs": _dataset("fashioniq_pairs", "data/FashionIQ", 0.8, missing_images="skip"),
    "genecis": _dataset("genecis", "data/GeneCIS", UNTUNED, split="all"),
    "icir": _dataset("icir", "data/icir", UNTUNED, split="all"),
    "pinpoint": _dataset("pinpoint", "data/PinPoint", UNTUNED, split="all", missing_images="skip"),
}
