"""The shards of a step become one file in query order, and one of failures."""


rule gather_captions:
    """Join the shards; the captions of a reference go to every query that uses it."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=expand(
            "results/{dataset}/{split}/shards/captions/{shard}.jsonl",
            shard=range(CONFIG.shards),
            allow_missing=True,
        ),
    output:
        done="results/{dataset}/{split}/source_captions.jsonl",
        failures="results/{dataset}/{split}/captions.failures.jsonl",
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
        mem_mb=growing(1000),
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
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=expand(
            "results/{dataset}/{split}/shards/reasoning/{shard}.jsonl",
            shard=range(CONFIG.shards),
            allow_missing=True,
        ),
    output:
        done="results/{dataset}/{split}/target_captions.jsonl",
        failures="results/{dataset}/{split}/reasoning.failures.jsonl",
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
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=expand(
            "results/{dataset}/{split}/shards/layouts/{shard}.jsonl",
            shard=range(CONFIG.shards),
            allow_missing=True,
        ),
    output:
        done="results/{dataset}/{split}/layouts.jsonl",
        failures="results/{dataset}/{split}/layouts.failures.jsonl",
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
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=expand(
            "results/{dataset}/{split}/shards/masks/{shard}.jsonl",
            shard=range(CONFIG.shards),
            allow_missing=True,
        ),
    output:
        done="results/{dataset}/{split}/reference_masks.jsonl",
        failures="results/{dataset}/{split}/masks.failures.jsonl",
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
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=expand(
            "results/{dataset}/{split}/shards/proxies/{shard}.jsonl",
            shard=range(CONFIG.shards),
            allow_missing=True,
        ),
    output:
        done=f"results/{{dataset}}/{{split}}/proxies/{GENERATOR}/index.jsonl",
        failures="results/{dataset}/{split}/proxies.failures.jsonl",
    log:
        "logs/{dataset}/{split}/proxies/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/proxies/gather.tsv"
    params:
        rule="gather_proxies",
        key="query_id",
