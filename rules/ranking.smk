"""Similarity balance and top-k lists (eq. 2)."""


include: "inputs/ranking.smk"


rule ranking:
    """Balance the similarities (eq. 2) and rank the gallery, all variants in one pass."""
    input:
        text="results/{dataset}/{split}/{backbone}/{baseline}/text.safetensors",
        gallery="results/{dataset}/{split}/{backbone}/gallery.safetensors",
        queries="results/{dataset}/{split}/queries.jsonl",
        gallery_images="results/{dataset}/{split}/gallery.jsonl",
        fusion=expand(
            "results/{dataset}/{split}/{backbone}/fusion/{variant}.safetensors",
            variant=PROXIES,
            allow_missing=True,
        ),
        balance=tuned_balance,
    output:
        expand(
            "results/{dataset}/{split}/{backbone}/{baseline}/{variant}.{list}.parquet",
            variant=VARIANTS,
            list=["rankings", "subset"],
            allow_missing=True,
        ),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/ranking.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/ranking.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        options=lambda wildcards, input: options(
            input, variants=VARIANTS, **balance_options(wildcards)
        ),
        settings=section_json(CONFIG, "ranking"),
    shell:
        "IPCIR_RULE=ranking ipcir ranking {params.options} --settings {params.settings:q}"
        " --output-dir results/{wildcards.dataset}/{wildcards.split}/{wildcards.backbone}/{wildcards.baseline}"
        " 2> {log}"
