"""Lists in their new order after verification, and the choice of the mix on another dataset. Off by default."""


use rule ranking as tuned_ranking with:
    """Rank a labelled split with the lambda that was chosen on it, so that the judge's weight is chosen on such lists."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        fusion=expand(paths.FUSED, proxy=PROXIES, allow_missing=True),
        lambda_file=paths.LAMBDA,
    output:
        expand(
            [paths.TUNED_RANKINGS, paths.TUNED_SUBSET],
            variant=VARIANTS,
            allow_missing=True,
        ),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/tuned_ranking.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/tuned_ranking.tsv"
    params:
        rule="tuned_ranking",
        options=lambda wildcards, input: options(
            input,
            variants=VARIANTS,
            mark=mark(wildcards),
            whole=whole(wildcards),
            exclude_reference=dataset_of(wildcards).exclude_reference,
            **rrf_options(wildcards),
        ),
        taken=from_config("ranking", tuned_ranking_keys, rrf_keys),


rule rerank:
    """Order the first candidates of each list by ranking and judgement together."""
    input:
        rankings=expand(
            [paths.RANKINGS, paths.SUBSET], variant=VARIANTS, allow_missing=True
        ),
        judgements=paths.JUDGEMENTS,
        queries=paths.QUERIES,
        choice=mix_choice,
    output:
        expand(
            [paths.RANKINGS, paths.SUBSET],
            variant=[verified_name(name) for name in VARIANTS],
            allow_missing=True,
        ),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/rerank.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/rerank.tsv"
    wildcard_constraints:
        dataset=ranked_datasets(drawn=True),
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(800),
        runtime=60,
    params:
        rule="rerank",
        options=lambda wildcards, input, output: options(
            input,
            k=CONFIG.verify.k,
            mark=mark(wildcards),
            output_dir=Path(output[0]).parent,
        ),
        settings=section_json(CONFIG.verify, "combine"),
        taken=from_config(mix_keys),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir rerank {params.options}"
        " --settings {params.settings:q} 2> {log}"


use rule rerank as rerank_undrawn with:
    """The same where nothing is drawn: the variants without proxies."""
    input:
        rankings=expand(
            [paths.RANKINGS, paths.SUBSET], variant=UNDRAWN, allow_missing=True
        ),
        judgements=paths.JUDGEMENTS,
        queries=paths.QUERIES,
    output:
        expand(
            [paths.RANKINGS, paths.SUBSET],
            variant=[verified_name(name) for name in UNDRAWN],
            allow_missing=True,
        ),
    wildcard_constraints:
        dataset=ranked_datasets(drawn=False),
    params:
        rule="rerank_undrawn",
        taken=from_config("verify.k", "verify.combine"),


use rule rerank as rerank_tuning with:
    """Choose each variant's weight and temperature where the targets are known."""
    input:
        rankings=expand(paths.TUNED_RANKINGS, variant=VARIANTS, allow_missing=True),
        judgements=paths.JUDGEMENTS,
        queries=paths.QUERIES,
    output:
        paths.VERIFY_CHOICE,
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/rerank_tuning.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/rerank_tuning.tsv"
    params:
        rule="rerank_tuning",
        options=lambda wildcards, input, output: options(
            input,
            k=CONFIG.verify.k,
            choose=output[0],
            benchmark=dataset_benchmark(wildcards),
        ),
        taken=from_config("verify.k", "verify.combine", "datasets.{dataset}.benchmark"),
