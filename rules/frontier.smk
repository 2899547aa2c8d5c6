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
        rule="drawn",
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


rule costs:
    """Count the operations of each setting, and read what drawing it took."""
    input:
        drawn_indices,
    output:
        paths.DRAWN_COSTS,
    log:
        "logs/{dataset}/frontier/costs.log",
    benchmark:
        "benchmarks/results/{dataset}/frontier_costs.tsv"
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=60,
    params:
        split=lambda wildcards: dataset_of(wildcards).split,
        settings=cost_settings,
        taken=from_config("stack.proxies", "stack.models", "frontier.settings"),
    shell:
        "IPCIR_RULE=costs IPCIR_CONFIG={params.taken:q} ipcir costs --dataset {wildcards.dataset}"
        " --split {params.split} --settings {params.settings:q} --output {output} 2> {log}"


rule frontier:
    """Compare the settings: the metric that decides, intervals, lists, features, cost; choose the cheapest."""
    input:
        text=compared_text,
        gallery=labelled(paths.GALLERY_FEATURES),
        queries=labelled(paths.QUERIES),
        gallery_images=labelled(paths.GALLERY),
        references=labelled(paths.REFERENCE_FEATURES),
        target_captions=labelled(paths.TARGET_CAPTION_FEATURES),
        source_captions=labelled(paths.SOURCE_CAPTION_FEATURES),
        drawn=drawn_feature_files,
        indices=drawn_indices,
        reference_images=labelled(paths.REFERENCES),
        costs=paths.DRAWN_COSTS,
        lambda_file=frontier_lambda,
    output:
        result=paths.FRONTIER,
        table=report(
            paths.FRONTIER_TABLE,
            caption="../report/frontier.rst",
            category="Costs",
            labels={"dataset": "{dataset}", "figure": "frontier"},
        ),
        svg=report(
            paths.fill(paths.FRONTIER_FIGURE, suffix="svg"),
            caption="../report/frontier.rst",
            category="Costs",
            labels={"dataset": "{dataset}", "figure": "frontier"},
        ),
        png=paths.fill(paths.FRONTIER_FIGURE, suffix="png"),
        page=report(
            paths.FRONTIER_PAGE,
            caption="../report/frontier.rst",
            category="Costs",
            labels={"dataset": "{dataset}", "figure": "frontier, to point at"},
        ),
    log:
        "logs/{dataset}/frontier/{backbone}/{baseline}.log",
    benchmark:
        "benchmarks/results/{dataset}/frontier/{backbone}/{baseline}.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=240,
    params:
        options=frontier_options,
        settings=frontier_settings,
        taken=from_config(
            "seed",
            "resamples",
            "fusion",
            "ranking",
            "frontier",
            "datasets.{dataset}.benchmark",
            "datasets.{dataset}.root",
            lambda_keys,
        ),
    shell:
        "IPCIR_RULE=frontier IPCIR_CONFIG={params.taken:q} ipcir frontier --dataset {wildcards.dataset} {params.options}"
        " --settings {params.settings:q} --output {output.result} --table {output.table}"
        " --svg {output.svg} --png {output.png} --page {output.page} 2> {log}"
