"""Proxies drawn one after another (datasets.NAME.stopping): round n draws image n of the queries that are open."""


include: "inputs/stopping.smk"


rule stopping:
    """Decide which queries get another image: those whose text is not certain and whose list has not settled."""
    input:
        text=deciding(paths.TEXT),
        gallery=deciding(paths.GALLERY_FEATURES),
        references=deciding(paths.REFERENCE_FEATURES),
        target_captions=deciding(paths.TARGET_CAPTION_FEATURES),
        source_captions=deciding(paths.SOURCE_CAPTION_FEATURES),
        queries=of_this_round(paths.QUERIES),
        gallery_images=paths.GALLERY,
        rounds=rounds_before,
        before=state_before,
        lambda_file=comparing_lambda,
    output:
        state=paths.ROUND_STATE,
        open=paths.ROUND_QUERIES,
    log:
        "logs/{dataset}/{split}/rounds/{round}/stopping.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/rounds/{round}.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=240,
    params:
        options=stopping_options,
        settings=stopping_settings,
        taken=from_config("fusion", "ranking", "stack.proxies.count", stopping_keys),
    shell:
        "IPCIR_RULE=stopping IPCIR_CONFIG={params.taken:q} ipcir stopping next {params.options}"
        " --settings {params.settings:q} --output {output.state} --open {output.open} 2> {log}"


use rule proxies as round_proxies with:
    """Draw one image for each query that is open."""
    input:
        drawing_files,
        queries=paths.ROUND_QUERIES,
        layouts=unless_unused("layouts", paths.LAYOUTS),
        masks=unless_unused("masks", paths.REFERENCE_MASKS),
        captions=where_drawn_from(paths.TARGET_CAPTIONS),
        references=paths.REFERENCES,
        models=drawing_models,
    output:
        shards_of_device(paths.ROUND_SHARD),
    log:
        "logs/{dataset}/{split}/rounds/{round}/{device}.log",
    benchmark:
        paths.ROUND_TIMES
    params:
        rule="round_proxies",


use rule gather_captions as gather_round with:
    """Join the shards of a round, one record per query that was open."""
    input:
        queries=paths.ROUND_QUERIES,
        shards=of_every_device(shards_of_device(paths.ROUND_SHARD)),
    output:
        done=paths.ROUND_INDEX,
        failures=paths.ROUND_FAILURES,
    log:
        "logs/{dataset}/{split}/rounds/{round}/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/rounds/{round}/gather.tsv"
    params:
        rule="gather_round",
        key="query_id",


use rule proxies_features as round_features with:
    """Encode the images of a round."""
    input:
        index=paths.ROUND_INDEX,
        queries=paths.ROUND_QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.ROUND_FEATURES,
    log:
        "logs/{dataset}/{split}/rounds/{round}/features/{backbone}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/rounds/{round}/features/{backbone}.tsv"
    params:
        rule="round_features",
        options=lambda wildcards, input: options(input, images=drawn_images(wildcards)),


rule join_rounds:
    """Make one index of the rounds, and tell how many images each query has got, and why no more."""
    input:
        queries=paths.QUERIES,
        before=last_state,
        rounds=of_rounds(paths.ROUND_INDEX),
        failed=of_rounds(paths.ROUND_FAILURES),
    output:
        index=paths.PROXY_INDEX,
        failures=paths.PROXY_FAILURES,
        report=paths.STOPPING,
    log:
        "logs/{dataset}/{split}/proxies/{generator}.join.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/proxies/{generator}.join.tsv"
    wildcard_constraints:
        dataset=one_of(stopping_datasets()),
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(300),
        runtime=30,
    params:
        options=lambda wildcards, input: options(input),
    shell:
        "IPCIR_RULE=join_rounds ipcir stopping join {params.options} --output {output.index}"
        " --failures {output.failures} --report {output.report} 2> {log}"
