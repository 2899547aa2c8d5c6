"""Input functions of ranking and tuning."""

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.data import JUDGED


def chosen_lambda(wildcards):
    """The choice of lambda on the dataset that this one is tuned on, or by its rule; nothing where lambda is set."""
    if dataset_of(wildcards).rule:
        return paths.fill(paths.BALANCE, **wildcards)
    return tuned_lambda(wildcards)


def tuned_lambda(wildcards, **more):
    """The choice of lambda on the dataset that this one is tuned on; nothing where there is none."""
    name = dataset_of(wildcards).tuned_on
    if name is None:
        return []
    split = CONFIG.datasets[name].split
    values = {**wildcards, **more, "dataset": name, "split": split}
    return paths.LAMBDA.format(**values)


def believed(wildcards):
    """What a judge says of the first images of either side, where the dataset's rule needs it."""
    needed = dataset_of(wildcards).rule in JUDGED
    return paths.fill(paths.SIDE_JUDGEMENTS, **wildcards) if needed else []


def fused_proxies(wildcards):
    """The fused proxies: by the weights of eq. 1 alone, or also by what the dataset's rule trusts."""
    pattern = paths.BALANCED if dataset_of(wildcards).rule else paths.FUSED
    return expand(pattern, proxy=fused_of(wildcards), **wildcards)


def tuned_proxies(wildcards):
    """The fused proxies of the variants whose lambda is chosen."""
    return expand(paths.FUSED, proxy=fused_of(wildcards), **wildcards)


def tuned_variants(wildcards):
    """The variants whose lambda is chosen, where these are not the usual ones."""
    usual = drawing(wildcards).draws and not CONFIG.extra_variants
    return None if usual else variants_of(wildcards)


def balanced_variants(wildcards):
    """The variants whose lambda a rule chooses, where these are not the usual ones."""
    return VARIANTS[1:] if CONFIG.extra_variants else None


def fuses_ranks(wildcards):
    return any(card_of(name).combine == "rrf" for name in variants_of(wildcards))


def rrf_options(wildcards):
    """The constants of rank fusion, where a variant is one."""
    used = fuses_ranks(wildcards)
    return {"rrf_k": CONFIG.rrf.k, "rrf_lambda": CONFIG.rrf.lambda_} if used else {}


def rrf_keys(wildcards):
    """What ranking takes from their settings."""
    return ["extra_variants", "rrf"] if fuses_ranks(wildcards) else []


def rrf_tuning_keys(wildcards):
    return ["extra_variants", "rrf.k"] if fuses_ranks(wildcards) else []


def ranked_datasets(drawn):
    """Regular expression: the datasets whose generator draws something, or the others."""
    return others_than(undrawn_datasets()) if drawn else one_of(undrawn_datasets())


def lambda_keys(wildcards):
    """What ranking takes from the settings of the dataset."""
    dataset = dataset_of(wildcards)
    lam = "lambda"
    if dataset.rule:
        lam += ".rule"
    elif isinstance(dataset.lam, dict):
        own = wildcards.backbone in dataset.lam
        lam += f".{wildcards.backbone if own else 'default'}"
    names = ["tuned_on", "exclude_reference", *([] if dataset.tuned_on else [lam])]
    names += ["benchmark"] if whole(wildcards) else []
    return [f"datasets.{{dataset}}.{name}" for name in names]


def whole(wildcards):
    """Whether the metrics need the place of every target."""
    return BENCHMARKS[dataset_benchmark(wildcards)].whole


def lambda_options(wildcards):
    """Lambda, where it is not chosen on another dataset, and whether the reference is left out of its own list."""
    dataset = dataset_of(wildcards)
    chosen = dataset.tuned_on or dataset.rule
    lam = None if chosen else dataset.lambda_of(wildcards.backbone)
    return {"lambda_": lam, "exclude_reference": dataset.exclude_reference}
