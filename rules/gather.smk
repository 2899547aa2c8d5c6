"""The shards of a step become one file in query order, and one of failures."""


rule gather_captions:
    """Join the shards; the captions of a reference go to every query that uses it."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("captions")),
    output:
        done=paths.SOURCE_CAPTIONS,
        failures=paths.fill(paths.STEP_FAILURES, step="captions"),
    log:
        "logs/{dataset}/{split}/captions/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/captions/gather.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(300),
        runtime=30,
    params:
        rule="gather_captions",
        key="reference",
    shell:
        "IPCIR_RULE={params.rule} ipcir gather --queries {input.queries} --key {params.key} --shards {input.shards}"
        " --output {output.done} --failures {output.failures} 2> {log}"


use rule gather_captions as gather_reasoning with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("reasoning")),
    output:
        done=paths.TARGET_CAPTIONS,
        failures=paths.fill(paths.STEP_FAILURES, step="reasoning"),
    log:
        "logs/{dataset}/{split}/reasoning/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/reasoning/gather.tsv"
    params:
        rule="gather_reasoning",
        key="query_id",


use rule gather_captions as gather_layouts with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("layouts")),
    output:
        done=paths.LAYOUTS,
        failures=paths.fill(paths.STEP_FAILURES, step="layouts"),
    log:
        "logs/{dataset}/{split}/layouts/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/layouts/gather.tsv"
    params:
        rule="gather_layouts",
        key="query_id",


use rule gather_captions as gather_masks with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("masks")),
    output:
        done=paths.REFERENCE_MASKS,
        failures=paths.fill(paths.STEP_FAILURES, step="masks"),
    log:
        "logs/{dataset}/{split}/masks/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/masks/gather.tsv"
    params:
        rule="gather_masks",
        key="query_id",


use rule gather_captions as gather_proxies with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("proxies")),
    output:
        done=paths.PROXY_INDEX,
        failures=paths.PROXY_FAILURES,
    log:
        "logs/{dataset}/{split}/proxies/{generator}.gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/proxies/{generator}.gather.tsv"
    wildcard_constraints:
        dataset=others_than(stopping_datasets()),
    params:
        rule="gather_proxies",
        key="query_id",
