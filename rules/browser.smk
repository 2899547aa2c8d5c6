"""Queries one by one: the figures that show some of them, and the query browser."""


use rule scores_figure as queries_figure with:
    """Draw queries: first places (figs. 3, 4), ablation (fig. 6), layouts on their proxies, failures."""
    input:
        **example_inputs(ladder),
    output:
        svg=report(
            paths.fill(paths.QUERY_FIGURE, suffix="svg"),
            caption="../report/figure.rst",
            category="Queries",
            labels={"dataset": "{dataset}", "figure": "{figure}"},
        ),
        png=paths.fill(paths.QUERY_FIGURE, suffix="png"),
    log:
        "logs/{dataset}/figures/{figure}.log",
    benchmark:
        "benchmarks/results/{dataset}/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(cards.names("queries")),
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        rule="queries_figure",
        taken=from_config("figures", "datasets.{dataset}.root"),
        figure="{figure}",
        caption=caption_of(),
        options=example_options,


rule browser:
    """Write a page that shows every query with its captions, layout, proxies and lists; it needs no server."""
    input:
        **example_inputs(browsed),
    output:
        directory(paths.BROWSER),
    log:
        "logs/{dataset}/browser.log",
    benchmark:
        "benchmarks/results/{dataset}/browser.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(600),
        runtime=60,
    params:
        options=example_options,
        taken=from_config("figures", "datasets.{dataset}.root", listed_keys),
    shell:
        "IPCIR_RULE=browser IPCIR_CONFIG={params.taken:q} ipcir browser {params.options} --output {output} 2> {log}"
