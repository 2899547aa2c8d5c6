"""The paper's tables, and the leaderboard."""


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


rule leaderboard:
    """Write a page, and a CSV, of the literature's results with their protocols beside those of this run."""
    input:
        results=expand(paths.RESULT, dataset=CONFIG.run),
    output:
        html=paths.fill(paths.LEADERBOARD, suffix="html"),
        csv=paths.fill(paths.LEADERBOARD, suffix="csv"),
    log:
        "logs/tables/leaderboard.log",
    benchmark:
        "benchmarks/results/tables/leaderboard.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(400),
        runtime=30,
    shell:
        "IPCIR_RULE=leaderboard ipcir leaderboard --results {input.results}"
        " --html {output.html} --csv {output.csv} 2> {log}"
