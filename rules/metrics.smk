"""Metrics, failures and the result file."""


rule failures:
    """Collect what could not be processed, with the reason."""
    input:
        expand(
            "results/{dataset}/{split}/{step}.failures.jsonl",
            step=STEPS,
            allow_missing=True,
        ),
    output:
        "results/{dataset}/{split}/failures.jsonl",
    log:
        "logs/{dataset}/{split}/failures.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/failures.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=failures ipcir failures {input} --output {output} 2> {log}"


rule metrics:
    """Score rankings under the benchmark's protocol."""
    input:
        rankings="results/{dataset}/{split}/{backbone}/{baseline}/{variant}.rankings.parquet",
        subset="results/{dataset}/{split}/{backbone}/{baseline}/{variant}.subset.parquet",
        queries="results/{dataset}/{split}/queries.jsonl",
        failures="results/{dataset}/{split}/failures.jsonl",
    output:
        "results/{dataset}/{split}/{backbone}/{baseline}/{variant}.metrics.json",
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/{variant}.metrics.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/{variant}.metrics.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        benchmark=lambda wildcards: dataset_of(wildcards).benchmark,
    shell:
        "IPCIR_RULE=metrics ipcir metrics --rankings {input.rankings} --subset {input.subset}"
        " --queries {input.queries} --failures {input.failures}"
        " --benchmark {params.benchmark} --output {output} 2> {log}"


rule results:
    """Every backbone, baseline and variant of a dataset in one file."""
    input:
        metrics=of_metrics_split(
            "results/{dataset}/{split}/{backbone}/{baseline}/{variant}.metrics.json",
            backbone=CONFIG.backbones,
            baseline=CONFIG.baselines,
            variant=VARIANTS,
        ),
        queries=of_metrics_split("results/{dataset}/{split}/queries.jsonl"),
        failures=of_metrics_split("results/{dataset}/{split}/failures.jsonl"),
    output:
        "results/{dataset}_metrics.json",
    log:
        "logs/{dataset}/results.log",
    benchmark:
        "benchmarks/results/{dataset}/results.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        settings=results_settings,
        strict="--strict" if CONFIG.strict else "",
    shell:
        "IPCIR_RULE=results ipcir results --dataset {wildcards.dataset} --metrics {input.metrics}"
        " --queries {input.queries} --failures {input.failures}"
        " --settings {params.settings:q} {params.strict} --output {output} 2> {log}"
