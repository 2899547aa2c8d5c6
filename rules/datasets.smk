"""Annotations and images become queries and gallery."""


include: "inputs/datasets.smk"


rule dataset:
    """Read the annotations, open every image once, apply the missing-image policy."""
    input:
        dataset_source,
    output:
        queries="results/{dataset}/{split}/queries.jsonl",
        gallery="results/{dataset}/{split}/gallery.jsonl",
        references="results/{dataset}/{split}/references.jsonl",
        failures="results/{dataset}/{split}/datasets.failures.jsonl",
        coverage="results/{dataset}/{split}/coverage.json",
    log:
        "logs/{dataset}/{split}/datasets.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/datasets.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        settings=dataset_settings,
    shell:
        "IPCIR_RULE=dataset ipcir datasets --settings {params.settings:q} --split {wildcards.split}"
        " --output results/{wildcards.dataset}/{wildcards.split} 2> {log}"
