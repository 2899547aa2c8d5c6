"""Annotations and images become queries and gallery."""


include: "inputs/datasets.smk"


rule dataset:
    """Read the annotations, open every image once, apply the missing-image policy."""
    input:
        dataset_source,
    output:
        queries=paths.QUERIES,
        gallery=paths.GALLERY,
        references=paths.REFERENCES,
        failures=paths.fill(paths.STEP_FAILURES, step="datasets"),
        coverage=paths.COVERAGE,
    log:
        "logs/{dataset}/{split}/datasets.log",
    benchmark:
        paths.DATASET_TIMES
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(400),
        runtime=30,
    params:
        settings=dataset_settings,
        taken=from_config(source_keys),
        directory=lambda wildcards, output: Path(output.queries).parent,
    shell:
        "IPCIR_RULE=dataset IPCIR_CONFIG={params.taken:q} ipcir datasets --settings {params.settings:q}"
        " --split {wildcards.split} --output {params.directory} 2> {log}"
