"""Input functions of verification: which lists are judged, by which model, and how they are ordered anew."""

from ipcir_steps.config.data import JUDGED_FIRST


def judge_environment():
    """The packages that the judge needs: those of the captioner, or of a chat model."""
    return "language" if CONFIG.verify.chats else "vision"


def tunes_others(wildcards):
    """Whether a dataset of the run is tuned on this split."""
    tuned = {CONFIG.datasets[name].tuned_on for name in CONFIG.run}
    return wildcards.dataset in tuned and wildcards.split == dataset_of(wildcards).split


def judged_lists(wildcards):
    """Every list whose first candidates are judged, whatever its backbone, baseline and variant."""
    kinds = []
    if tunes_others(wildcards):
        kinds.append(paths.TUNED_RANKINGS)
    if wildcards.dataset in CONFIG.run or not kinds:
        kinds += [paths.RANKINGS, paths.SUBSET]
    return expand(
        kinds,
        **wildcards,
        backbone=stack_of(wildcards).backbones,
        baseline=CONFIG.baselines,
        variant=variants_of(wildcards),
    )


def side_lists(wildcards):
    """What the text and the proxies find alone, of every backbone and baseline."""
    return expand(
        paths.SIDE_RANKINGS,
        **wildcards,
        backbone=stack_of(wildcards).backbones,
        baseline=CONFIG.baselines,
        variant=USUAL,
    )


def side_settings():
    """Settings of judging these lists, of which the rule reads so many images, whatever ``verify.k`` is."""
    return canonical(
        {**CONFIG.verify.judging.model_dump(mode="json"), "k": JUDGED_FIRST}
    )


def side_keys(wildcards):
    return [key for key in judge_keys(wildcards) if key != "verify.k"]


def judge_manifest(wildcards):
    """The model that judges; nothing where a server answers."""
    verify = CONFIG.verify
    if not verify.remote and verify.role not in stack_of(wildcards).models:
        known = ", ".join(stack_of(wildcards).models)
        raise WorkflowError(
            f"config.yaml: verify.role: there is no model {verify.role!r} in the stack (known: {known})"
        )
    return [] if verify.remote else manifest(verify.role)(wildcards)


CAPTIONER = ("prompt", "device", "dtype")  # what the captioner's likelihoods depend on


def judge_options(wildcards, input):
    read = None
    if CONFIG.verify.judge == "captioner":
        captions = stack_of(wildcards).captions
        read = canonical({name: getattr(captions, name) for name in CAPTIONER})
    return options(
        input, root=dataset_root(wildcards), captioner=read, cache=paths.CACHE
    )


def judge_keys(wildcards):
    """What judging takes from the configuration: everything of the section but how lists are ordered anew."""
    keys = [f"verify.{name}" for name in type(CONFIG.verify.judging).model_fields]
    if CONFIG.verify.judge == "captioner":
        keys += [f"stack.captions.{name}" for name in CAPTIONER]
    return [*keys, "datasets.{dataset}.root"]


def tuned_ranking_keys(wildcards):
    names = ["exclude_reference", *(["benchmark"] if whole(wildcards) else [])]
    return [f"datasets.{{dataset}}.{name}" for name in names]


def mix_choice(wildcards):
    """The choice of weight and temperature on the dataset that this one is tuned on; nothing where they are set."""
    name = dataset_of(wildcards).tuned_on
    if name is None or not drawing(wildcards).draws:
        return []
    split = CONFIG.datasets[name].split
    return paths.VERIFY_CHOICE.format(**{**wildcards, "dataset": name, "split": split})


def mix_keys(wildcards):
    chosen = bool(mix_choice(wildcards))
    return ["verify.k", "datasets.{dataset}.tuned_on" if chosen else "verify.combine"]
