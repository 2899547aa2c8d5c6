"""IP-CIR: composed image retrieval with an imagined proxy.

snakemake --cores 8 results/cirr_metrics.json
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/run.smk"
include: "rules/models.smk"
include: "rules/datasets.smk"
include: "rules/captions.smk"
include: "rules/reasoning.smk"
include: "rules/layouts.smk"
include: "rules/masks.smk"
include: "rules/statistics.smk"
include: "rules/proxies.smk"
include: "rules/gather.smk"
include: "rules/embeddings.smk"
include: "rules/stopping.smk"
include: "rules/baselines.smk"
include: "rules/proxy_captions.smk"
include: "rules/fusion.smk"
include: "rules/ranking.smk"
include: "rules/verification.smk"
include: "rules/sides.smk"
include: "rules/rerank.smk"
include: "rules/tuning.smk"
include: "rules/frontier.smk"
include: "rules/evaluation.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/browser.smk"
include: "rules/steps.smk"
include: "rules/mini_world.smk"


rule all:
    """Results and scores of every dataset of the run."""
    default_target: True
    input:
        expand(paths.RESULT, dataset=CONFIG.run),
        expand(paths.FIGURE, figure=CONFIG.run, suffix="svg"),


rule figures:
    """Every figure and table, the leaderboard and the query browser."""
    input:
        expand(paths.FIGURE, figure=CONFIG.run, suffix="svg"),
        expand(
            paths.QUERY_FIGURE,
            dataset=CONFIG.run,
            figure=cards.names("queries"),
            suffix="svg",
        ),
        expand(
            paths.FIGURE,
            figure=[
                *cards.names("sweeps"),
                *cards.names("results"),
                *cards.names("run"),
            ],
            suffix="svg",
        ),
        expand(paths.TABLE, number=[1, 2, 3], suffix="md"),
        expand(paths.LEADERBOARD, suffix="html"),
        expand(paths.BROWSER, dataset=CONFIG.run),


# Without an output or a benchmark it runs each time, and says which branches have moved.
rule prefetch:
    """Everything that a cluster without a network needs: models fetched and verified, every image opened once."""
    input:
        dataset_reports(),
        models=prefetched(),
    log:
        "logs/models/moved.log",
    conda:
        "envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=prefetch HF_HUB_OFFLINE=0 IPCIR_PROVENANCE= ipcir models --moved {input.models} 2>&1 | tee {log} >&2"
