"""Similarity balance and top-k lists (eq. 2)."""


include: "inputs/ranking.smk"


rule ranking:
    """Balance the similarities (eq. 2) and rank the gallery, all variants in one pass."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        fusion=expand(paths.FUSED, proxy=PROXIES, allow_missing=True),
        lambda_file=tuned_lambda,
    output:
        expand([paths.RANKINGS, paths.SUBSET], variant=VARIANTS, allow_missing=True),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/ranking.log",
    benchmark:
        paths.RANKING_TIMES
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(1600),
        runtime=240,
    params:
        options=lambda wildcards, input: options(
            input,
            variants=VARIANTS,
            mark=mark(wildcards),
            whole=whole(wildcards),
            **lambda_options(wildcards),
        ),
        settings=section_json(CONFIG, "ranking"),
        taken=from_config("ranking", lambda_keys),
        directory=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "IPCIR_RULE=ranking IPCIR_CONFIG={params.taken:q} ipcir ranking {params.options}"
        " --settings {params.settings:q} --output-dir {params.directory} 2> {log}"
