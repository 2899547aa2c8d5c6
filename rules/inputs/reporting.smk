"""Input functions of tables, figures and the query browser."""

from ipcir_steps.evaluate.reporting.figures import cards


def quoted(wildcards):
    """What the captions of the report quote of the configuration."""
    name = getattr(wildcards, "dataset", None)
    names = [name] if name else CONFIG.run
    sections = {name: CONFIG.datasets[name].model_dump(mode="json") for name in names}
    keys = {
        "fusion",
        "sensitivity",
        "baselines",
        "resamples",
        "seed",
    }
    stack = CONFIG.stack_of(names[0])
    return {
        "datasets": sections,
        "stack": CONFIG.identity(names[0]),
        "backbones": stack.backbones,
        "proxies": stack.proxies.model_dump(mode="json"),
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


def example_inputs(variants):
    """Input functions of what shows queries: the first backbone and baseline of the configuration.

    variants: function of the wildcards: whose lists are shown.
    """
    files = {
        "queries": paths.QUERIES,
        "gallery_images": paths.GALLERY,
        "references": paths.REFERENCES,
        "source_captions": paths.SOURCE_CAPTIONS,
        "target_captions": paths.TARGET_CAPTIONS,
        "failures": paths.FAILURES,
    }

    def layouts(wildcards):
        unused = "layouts" in drawing(wildcards).unused
        return [] if unused else of_metrics_split(paths.LAYOUTS)(wildcards)

    def index(wildcards):
        must_draw(wildcards)
        generator = proxy_directory(wildcards)
        return of_metrics_split(paths.PROXY_INDEX, generator=generator)(wildcards)

    def shown(wildcards):
        """The lists of the first backbone and baseline."""
        first = {
            "backbone": stack_of(wildcards).backbones[0],
            "baseline": CONFIG.baselines[0],
        }
        return of_metrics_split(paths.RANKINGS, variant=variants(wildcards), **first)(
            wildcards
        )

    return {name: of_metrics_split(file) for name, file in files.items()} | {
        "layouts": layouts,
        "index": index,
        "rankings": shown,
    }


def ladder(wildcards):
    return LADDER


def browsed(wildcards):
    """With the extra variants, and the method's verified list where lists are verified."""
    verified = verified_name(METHOD)
    more = [verified] if verified in variants_of_run(wildcards) else []
    return [*LADDER, *CONFIG.extra_variants, *more]


def example_options(wildcards, input):
    return options(
        input,
        dataset=wildcards.dataset,
        mark=mark(wildcards),
        root=dataset_root(wildcards),
        proxy_images=Path(str(input.index)).parent,
        settings=section_json(CONFIG, "figures"),
    )
