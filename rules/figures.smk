"""Figures of whole datasets: scores and controls, sensitivity, costs."""


ruleorder: sensitivity_figure > results_figure > costs_figure > scores_figure


rule scores_figure:
    """Draw the metrics of every variant with their intervals. The other figures inherit from this rule."""
    input:
        results=paths.RESULT,
    output:
        svg=report(
            paths.fill(paths.FIGURE, figure="{dataset}", suffix="svg"),
            caption="../report/figure.rst",
            category="Results",
            labels={"dataset": "{dataset}", "figure": "scores"},
        ),
        png=paths.fill(paths.FIGURE, figure="{dataset}", suffix="png"),
    log:
        "logs/{dataset}/figures/scores.log",
    benchmark:
        "benchmarks/results/{dataset}/figures/scores.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=30,
    params:
        rule="scores_figure",
        taken=from_config(),
        figure="scores",
        options=lambda wildcards, input: options(input),
        caption=caption_of("scores"),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir figures {params.figure} {params.options}"
        " --svg {output.svg} --png {output.png} 2> {log}"


use rule scores_figure as results_figure with:
    """Draw all datasets beside each other, such as the gains of the method beside those of the controls."""
    input:
        results=expand(paths.RESULT, dataset=CONFIG.run),
    output:
        svg=report(
            paths.fill(paths.FIGURE, suffix="svg"),
            caption="../report/figure.rst",
            category="Results",
            labels={"dataset": "all", "figure": "{figure}"},
        ),
        png=paths.fill(paths.FIGURE, suffix="png"),
    log:
        "logs/figures/{figure}.log",
    benchmark:
        "benchmarks/results/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(cards.names("results")),
    params:
        rule="results_figure",
        figure="{figure}",
        caption=caption_of(),


use rule scores_figure as sensitivity_figure with:
    """Draw what lambda (fig. 7), the number of proxies (fig. 8), the parts of eq. 1 (fig. 5) and weights change."""
    input:
        sensitivity=of_run(
            paths.SENSITIVITY,
            baseline=CONFIG.baselines,
        ),
    output:
        svg=report(
            paths.fill(paths.FIGURE, suffix="svg"),
            caption="../report/figure.rst",
            category="Sensitivity",
            labels={"dataset": "all", "figure": "{figure}"},
        ),
        png=paths.fill(paths.FIGURE, suffix="png"),
    log:
        "logs/figures/{figure}.log",
    benchmark:
        "benchmarks/results/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(cards.names("sweeps")),
    params:
        rule="sensitivity_figure",
        figure="{figure}",
        caption=caption_of(),


use rule scores_figure as costs_figure with:
    """Draw time, memory and GPU cost of each step. It shows times, so it is not the same in every run."""
    input:
        results=expand(paths.RESULT, dataset=CONFIG.run),
    output:
        svg=report(
            paths.fill(paths.FIGURE, figure="costs", suffix="svg"),
            caption="../report/figure.rst",
            category="Costs",
            labels={"dataset": "all", "figure": "costs"},
        ),
        png=paths.fill(paths.FIGURE, figure="costs", suffix="png"),
    log:
        "logs/figures/costs.log",
    benchmark:
        "benchmarks/results/figures/costs.tsv"
    params:
        rule="costs_figure",
        taken=from_config(*(f"datasets.{name}.split" for name in CONFIG.run)),
        figure="costs",
        caption=caption_of("costs"),
        options=lambda wildcards, input: options(
            input,
            splits=[CONFIG.datasets[name].split for name in CONFIG.run],
            benchmarks=paths.TIMES,
            records=paths.RECORDS if Path(paths.RECORDS).is_dir() else None,
        ),
