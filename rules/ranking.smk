"""Similarity balance and top-k lists (eq. 2)."""


include: "inputs/ranking.smk"


rule ranking:
    """Balance the similarities (eq. 2) and rank the gallery, all variants in one pass."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        fusion=fused_proxies,
        lambda_file=chosen_lambda,
    output:
        expand([paths.RANKINGS, paths.SUBSET], variant=VARIANTS, allow_missing=True),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/ranking.log",
    benchmark:
        paths.RANKING_TIMES
    wildcard_constraints:
        dataset=ranked_datasets(drawn=True),
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(1600),
        runtime=240,
    params:
        rule="ranking",
        options=lambda wildcards, input: options(
            input,
            variants=variants_of(wildcards),
            mark=mark(wildcards),
            whole=whole(wildcards),
            **lambda_options(wildcards),
            **rrf_options(wildcards),
        ),
        settings=section_json(CONFIG, "ranking"),
        taken=from_config("ranking", lambda_keys, rrf_keys),
        directory=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir ranking {params.options}"
        " --settings {params.settings:q} --output-dir {params.directory} 2> {log}"


use rule ranking as ranking_undrawn with:
    """The same where nothing is drawn: the variants without proxies."""
    output:
        expand([paths.RANKINGS, paths.SUBSET], variant=UNDRAWN, allow_missing=True),
    wildcard_constraints:
        dataset=ranked_datasets(drawn=False),
    params:
        rule="ranking_undrawn",


rule balance:
    """Give each query its own lambda, and each of its proxies its weight, by a rule without labels."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        references=paths.REFERENCE_FEATURES,
        proxies=paths.PROXY_FEATURES,
        target_captions=paths.TARGET_CAPTION_FEATURES,
        source_captions=paths.SOURCE_CAPTION_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        judgements=believed,
    output:
        lambdas=paths.BALANCE,
        fused=expand(paths.BALANCED, proxy=PROXIES, allow_missing=True),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/balance.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/balance.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=240,
    params:
        options=lambda wildcards, input: options(
            input,
            rule=dataset_of(wildcards).rule,
            variants=balanced_variants(wildcards),
            exclude_reference=dataset_of(wildcards).exclude_reference,
            mark=mark(wildcards),
        ),
        seed=CONFIG.seed,
        settings=section_json(CONFIG, "fusion"),
        taken=from_config(
            "seed",
            "fusion",
            "datasets.{dataset}.lambda.rule",
            "datasets.{dataset}.exclude_reference",
            *(["extra_variants"] if CONFIG.extra_variants else []),
        ),
        directory=lambda wildcards, output: Path(output.fused[0]).parent,
    shell:
        "IPCIR_RULE=balance IPCIR_CONFIG={params.taken:q} ipcir balance {params.options} --seed {params.seed}"
        " --settings {params.settings:q} --output {output.lambdas} --output-dir {params.directory} 2> {log}"
