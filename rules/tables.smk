"""The paper's tables."""


include: "inputs/reporting.smk"


rule tables:
    """Write method x backbone with differences, intervals and published values as Markdown, CSV and LaTeX."""
    input:
        results=expand("results/{dataset}_metrics.json", dataset=CONFIG.run),
    output:
        markdown=report(
            "results/tables/table{number}.md",
            caption="../report/table.rst",
            category="Results",
            labels={"dataset": "all", "figure": "table {number}"},
        ),
        csv="results/tables/table{number}.csv",
        latex="results/tables/table{number}.tex",
    log:
        "logs/tables/{number}.log",
    benchmark:
        "benchmarks/results/tables/{number}.tsv"
    wildcard_constraints:
        number="[123]",
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        quoted=quoted,
    shell:
        "IPCIR_RULE=tables ipcir tables --results {input} --number {wildcards.number}"
        " --markdown {output.markdown} --csv {output.csv} --latex {output.latex} 2> {log}"
