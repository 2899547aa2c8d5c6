"""Input functions of tables, figures and the query browser."""


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
    return {"datasets": sections, **CONFIG.model_dump(mode="json", include=keys)}


def example_inputs():
    """Input functions of what shows queries: the first backbone and baseline of the configuration."""
    split = "results/{dataset}/{split}"
    names = {
        "queries": "queries",
        "gallery_images": "gallery",
        "references": "references",
        "source_captions": "source_captions",
        "target_captions": "target_captions",
        "layouts": "layouts",
        "index": f"proxies/{GENERATOR}/index",
        "failures": "failures",
    }
    files = {
        name: of_metrics_split(f"{split}/{file}.jsonl") for name, file in names.items()
    }
    shown = of_metrics_split(
        f"{split}/{CONFIG.backbones[0]}/{CONFIG.baselines[0]}/{{variant}}.rankings.parquet",
        variant=LADDER,
    )
    return files | {"rankings": shown}


def example_options(wildcards, input):
    return options(
        input,
        dataset=wildcards.dataset,
        root=dataset_root(wildcards),
        proxy_images=Path(str(input.index)).parent,
        settings=section_json(CONFIG, "figures"),
    )
