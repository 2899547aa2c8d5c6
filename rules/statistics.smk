"""Box statistics of COCO's categories, towards which the boxes of layouts are moved."""


rule statistics:
    """Measure the boxes of COCO's categories."""
    input:
        instances=paths.INSTANCES,
    output:
        paths.STATISTICS,
    log:
        "logs/statistics.log",
    benchmark:
        "benchmarks/results/statistics.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(5000),
        runtime=30,
    shell:
        "IPCIR_RULE=statistics ipcir statistics --instances {input.instances} --output {output} 2> {log}"
