"""Figures: scores and controls, sensitivity, queries, costs."""


ruleorder: sensitivity_figure > controls_figure > costs_figure > scores_figure


rule scores_figure:
    """Draw the metrics of every variant with their intervals."""
    input:
        "results/{dataset}_metrics.json",
    output:
        svg=report(
            "results/figures/{dataset}.svg",
            caption="../report/scores.rst",
            category="Results",
            labels={"dataset": "{dataset}", "figure": "scores"},
        ),
        png="results/figures/{dataset}.png",
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
        mem_mb=growing(1000),
        runtime=30,
    params:
        quoted=quoted,
    shell:
        "IPCIR_RULE=scores_figure ipcir figures scores --results {input} --svg {output.svg} --png {output.png} 2> {log}"


rule controls_figure:
    """Draw the gains of the method beside those of the controls."""
    input:
        expand("results/{dataset}_metrics.json", dataset=CONFIG.run),
    output:
        svg=report(
            "results/figures/controls.svg",
            caption="../report/controls.rst",
            category="Results",
            labels={"dataset": "all", "figure": "controls"},
        ),
        png="results/figures/controls.png",
    log:
        "logs/figures/controls.log",
    benchmark:
        "benchmarks/results/figures/controls.tsv"
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
        "IPCIR_RULE=controls_figure ipcir figures controls --results {input} --svg {output.svg} --png {output.png} 2> {log}"


rule sensitivity_figure:
    """Draw what lambda (fig. 7), the number of proxies (fig. 8), the parts of eq. 1 (fig. 5) and weights change."""
    input:
        of_run(
            "results/{dataset}/{split}/{backbone}/{baseline}/sensitivity.json",
            backbone=CONFIG.backbones,
            baseline=CONFIG.baselines,
        ),
    output:
        svg=report(
            "results/figures/{sweep}.svg",
            caption="../report/sensitivity.rst",
            category="Sensitivity",
            labels={"dataset": "all", "figure": "{sweep}"},
        ),
        png="results/figures/{sweep}.png",
    log:
        "logs/figures/{sweep}.log",
    benchmark:
        "benchmarks/results/figures/{sweep}.tsv"
    wildcard_constraints:
        sweep="|".join(SWEEPS),
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
        "IPCIR_RULE=sensitivity_figure ipcir figures {wildcards.sweep} --sensitivity {input}"
        " --svg {output.svg} --png {output.png} 2> {log}"


rule queries_figure:
    """Draw queries: first places (figs. 3, 4), ablation (fig. 6), layouts on their proxies, failures."""
    input:
        **example_inputs(),
    output:
        svg=report(
            "results/figures/{dataset}/{figure}.svg",
            caption="../report/queries.rst",
            category="Queries",
            labels={"dataset": "{dataset}", "figure": "{figure}"},
        ),
        png="results/figures/{dataset}/{figure}.png",
    log:
        "logs/{dataset}/figures/{figure}.log",
    benchmark:
        "benchmarks/results/{dataset}/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(QUERY_FIGURES),
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        options=example_options,
        settings=section_json(CONFIG, "figures"),
        quoted=quoted,
    shell:
        "IPCIR_RULE=queries_figure ipcir figures {wildcards.figure} --dataset {wildcards.dataset} {params.options}"
        " --settings {params.settings:q} --svg {output.svg} --png {output.png} 2> {log}"


rule costs_figure:
    """Draw time, memory and GPU cost of each step. It shows times, so it is not the same in every run."""
    input:
        expand("results/{dataset}_metrics.json", dataset=CONFIG.run),
    output:
        svg=report(
            "results/figures/costs.svg",
            caption="../report/costs.rst",
            category="Costs",
            labels={"dataset": "all", "figure": "costs"},
        ),
        png="results/figures/costs.png",
    log:
        "logs/figures/costs.log",
    benchmark:
        "benchmarks/results/figures/costs.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        splits=[CONFIG.datasets[name].split for name in CONFIG.run],
        records=lambda wildcards: (
            "--records provenance" if Path("provenance").is_dir() else ""
        ),
        quoted=quoted,
    shell:
        "IPCIR_RULE=costs_figure ipcir figures costs --results {input} --splits {params.splits}"
        " --benchmarks benchmarks/results {params.records} --svg {output.svg} --png {output.png} 2> {log}"
