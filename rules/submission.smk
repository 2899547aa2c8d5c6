"""Files for the benchmark servers, from the split whose targets are hidden."""


rule cirr_submission:
    """The two files of CIRR's server: recall and recall_subset."""
    input:
        **submission_inputs(),
    output:
        recall="results/submissions/{dataset}/{backbone}/{baseline}/{variant}.recall.json",
        subset="results/submissions/{dataset}/{backbone}/{baseline}/{variant}.recall_subset.json",
    log:
        "logs/submissions/{dataset}/{backbone}/{baseline}/{variant}.recall.log",
    benchmark:
        "benchmarks/results/submissions/{dataset}/{backbone}/{baseline}/{variant}.recall.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=cirr_submission ipcir submission write --benchmark cirr --rankings {input.rankings} --subset {input.subset}"
        " --queries {input.queries} --gallery {input.gallery}"
        " --output {output.recall} --subset-output {output.subset} > {log} 2>&1"


rule circo_submission:
    """The file of CIRCO's server."""
    input:
        **submission_inputs(),
    output:
        "results/submissions/{dataset}/{backbone}/{baseline}/{variant}.json",
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
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=circo_submission ipcir submission write --benchmark circo --rankings {input.rankings}"
        " --queries {input.queries} --gallery {input.gallery} --output {output} > {log} 2>&1"
