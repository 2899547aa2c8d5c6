"""Failures, metrics, the result file, and files for the benchmark servers."""


include: "inputs/evaluation.smk"


rule failures:
    """Collect what could not be processed, with the reason."""
    input:
        failures_of_steps,
    output:
        paths.FAILURES,
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
        mem_mb=growing(300),
        runtime=30,
    shell:
        "IPCIR_RULE=failures ipcir failures {input} --output {output} 2> {log}"


rule metrics:
    """Score rankings under the benchmark's protocol."""
    input:
        rankings=paths.RANKINGS,
        subset=paths.SUBSET,
        queries=paths.QUERIES,
        failures=paths.FAILURES,
        subsets=subset_files,
    output:
        paths.METRICS,
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
        mem_mb=growing(500),
        runtime=30,
    params:
        options=lambda wildcards, input: options(
            {name: files for name, files in input.items() if name != "subsets"},
            benchmark=dataset_benchmark(wildcards),
            mark=mark(wildcards),
            subsets=subset_options(wildcards),
        ),
        taken=from_config("datasets.{dataset}.benchmark", subset_keys),
    shell:
        "IPCIR_RULE=metrics IPCIR_CONFIG={params.taken:q} ipcir metrics {params.options} --output {output} 2> {log}"


rule results:
    """Write every backbone, baseline and variant of a dataset into one file."""
    input:
        metrics=scored_variants,
        queries=of_metrics_split(paths.QUERIES),
        failures=of_metrics_split(paths.FAILURES),
        stopping=stopping_report,
    output:
        paths.RESULT,
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
        mem_mb=growing(400),
        runtime=30,
    params:
        options=lambda wildcards, input: options(input, strict=CONFIG.strict),
        settings=results_settings,
        taken=from_config("seed", "resamples", "stack", listed_keys),
    shell:
        "IPCIR_RULE=results IPCIR_CONFIG={params.taken:q} ipcir results --dataset {wildcards.dataset}"
        " {params.options} --settings {params.settings:q} --output {output} 2> {log}"


rule submission:
    """Write the file that a benchmark's server takes for the split without targets."""
    input:
        **submission_inputs(rankings=paths.RANKINGS),
    output:
        paths.SUBMISSION,
    log:
        "logs/submissions/{dataset}/{backbone}/{baseline}/{variant}.log",
    benchmark:
        "benchmarks/results/submissions/{dataset}/{backbone}/{baseline}/{variant}.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=30,
    params:
        rule="submission",
        taken=from_config("datasets.{dataset}.benchmark"),
        options=lambda wildcards, input, output: options(
            input,
            benchmark=dataset_benchmark(wildcards),
            mark=mark(wildcards),
            output=output,
        ),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir submission write {params.options}"
        " > {log} 2>&1"


use rule submission as image_sets_submission with:
    """Write the two files of a server that also scores image sets (CIRR): recall and recall_subset."""
    input:
        **submission_inputs(rankings=paths.RANKINGS, subset=paths.SUBSET),
    output:
        output=paths.RECALL_SUBMISSION,
        subset_output=paths.SUBSET_SUBMISSION,
    log:
        "logs/submissions/{dataset}/{backbone}/{baseline}/{variant}.recall.log",
    benchmark:
        "benchmarks/results/submissions/{dataset}/{backbone}/{baseline}/{variant}.recall.tsv"
    params:
        rule="image_sets_submission",
        options=lambda wildcards, input, output: options(
            input,
            benchmark=dataset_benchmark(wildcards),
            mark=mark(wildcards),
            **output,
        ),
