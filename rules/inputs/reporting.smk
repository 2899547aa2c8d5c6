"""Input functions of tables, figures and the query browser."""

from ipcir_steps.evaluate.reporting.figures import cards


def quoted(wildcards):
    """What the captions of the report quote of the configuration."""
    name = getattr(wildcards, "dataset", None)
    names = [name] if name else CONFIG.run
    sections = {name: CONFIG.datasets[name].model_dump(mode="json") for name in names}
    keys = {
        "fusion",
        "proxies",
        "sensitivity",
        "backbones",
        "baselines",
        "resamples",
        "seed",
    }
    return {
        "datasets": sections,
        "lambda": cards.lambdas(sections),
        **CONFIG.model_dump(mode="json", include=keys),
    }


def caption_of(name=None):
    """The caption of a figure in the report; without a name that of the wildcard ``figure``."""
    return lambda wildcards: cards.caption(
        name or wildcards.figure,
        quoted(wildcards),
        getattr(wildcards, "dataset", None),
    )


def example_inputs():
    """Input functions of what shows queries: the first backbone and baseline of the configuration."""
    files = {
        "queries": paths.QUERIES,
        "gallery_images": paths.GALLERY,
        "references": paths.REFERENCES,
        "source_captions": paths.SOURCE_CAPTIONS,
        "target_captions": paths.TARGET_CAPTIONS,
        "layouts": paths.LAYOUTS,
        "index": PROXY_INDEX,
        "failures": paths.FAILURES,
    }
    shown = of_metrics_split(
        paths.RANKINGS,
        backbone=CONFIG.backbones[0],
        baseline=CONFIG.baselines[0],
        variant=LADDER,
    )
    return {name: of_metrics_split(file) for name, file in files.items()} | {
        "rankings": shown
    }


def example_options(wildcards, input):
    return options(
        input,
        dataset=wildcards.dataset,
        root=dataset_root(wildcards),
        proxy_images=Path(str(input.index)).parent,
        settings=section_json(CONFIG, "figures"),
    )
