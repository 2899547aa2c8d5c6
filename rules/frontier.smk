"""One dataset drawn with several settings side by side: what imagination is worth, and at what cost."""


include: "inputs/frontier.smk"


use rule proxies as drawn with:
    """Draw the proxies with a setting of the frontier; captions, layouts and masks are the dataset's."""
    output:
        shards_of_device(paths.DRAWN_SHARD),
    log:
        "logs/{dataset}/{split}/frontier/{setting}/{device}.log",
    benchmark:
        paths.DRAWN_TIMES
    params:
        rule="proxies",
        options=proxies_options,
        settings=stack_settings("proxies"),
        taken=from_config(
            "seed",
            "stack.proxies",
            "frontier.settings.{setting}",
            "datasets.{dataset}.root",
        ),


use rule gather_captions as gather_drawn with:
    """Join the shards of a setting, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(shards_of_device(paths.DRAWN_SHARD)),
    output:
        done=paths.DRAWN_INDEX,
        failures=paths.DRAWN_FAILURES,
    log:
        "logs/{dataset}/{split}/frontier/{setting}/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/frontier/{setting}/gather.tsv"
    params:
        rule="gather_drawn",
        key="query_id",


use rule proxies_features as drawn_features with:
    """Encode the proxies of a setting."""
    input:
        index=paths.DRAWN_INDEX,
        queries=paths.QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.DRAWN_FEATURES,
    log:
        "logs/{dataset}/{split}/frontier/{setting}/features/{backbone}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/frontier/{setting}/features/{backbone}.tsv"
    params:
        rule="drawn_features",
