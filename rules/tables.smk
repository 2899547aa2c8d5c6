"""The paper's tables."""


include: "inputs/reporting.smk"


rule tables:
    """Write method x backbone with differences, intervals and published values as Markdown, CSV and LaTeX."""
    input:
        results=expand(paths.RESULT, dataset=CONFIG.run),
    output:
        markdown=report(
            paths.fill(paths.TABLE, suffix="md"),
            caption="../report/table.rst",
            category="Results",
            labels={"dataset": "all", "figure": "table {number}"},
        ),
        csv=paths.fill(paths.TABLE, suffix="csv"),
        latex=paths.fill(paths.TABLE, suffix="tex"),
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
        mem_mb=growing(400),
        runtime=30,
    params:
        quoted=quoted,
    shell:
        "IPCIR_RULE=tables ipcir tables --results {input} --number {wildcards.number}"
        " --markdown {output.markdown} --csv {output.csv} --latex {output.latex} 2> {log}"
