"""Figures."""


rule figure:
    """Draw the metrics of every variant with their intervals."""
    input:
        "results/{dataset}_metrics.json",
    output:
        svg="results/figures/{dataset}.svg",
        png="results/figures/{dataset}.png",
    log:
        "logs/{dataset}/figures.log",
    benchmark:
        "benchmarks/results/{dataset}/figures.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE={rule} ipcir figures --metrics {input} --svg {output.svg} --png {output.png} 2> {log}"
