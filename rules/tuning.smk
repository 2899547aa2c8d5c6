"""Lambda chosen on a labelled split (datasets.NAME.tuned_on), and how much results depend on the settings."""


rule tuning:
    """Choose each variant's lambda where the targets are known."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        fusion=tuned_proxies,
    output:
        paths.LAMBDA,
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/tuning.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/tuning.tsv"
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
            variants=tuned_variants(wildcards),
            rrf_k=rrf_options(wildcards).get("rrf_k"),
            benchmark=dataset_benchmark(wildcards),
            exclude_reference=dataset_of(wildcards).exclude_reference,
        ),
        settings=section_json(CONFIG, "tuning"),
        taken=from_config(
            "tuning",
            "datasets.{dataset}.benchmark",
            "datasets.{dataset}.exclude_reference",
            rrf_tuning_keys,
        ),
    shell:
        "IPCIR_RULE=tuning IPCIR_CONFIG={params.taken:q} ipcir tune --per-variant {params.options}"
        " --settings {params.settings:q} --output {output} 2> {log}"


rule sensitivity:
    """Rank with every setting of the sweeps in one pass over the gallery."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        references=paths.REFERENCE_FEATURES,
        proxies=paths.PROXY_FEATURES,
        target_captions=paths.TARGET_CAPTION_FEATURES,
        source_captions=paths.SOURCE_CAPTION_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        lambda_file=chosen_lambda,
    output:
        paths.SENSITIVITY,
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/sensitivity.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/sensitivity.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(2400),
        runtime=240,
    params:
        options=lambda wildcards, input: options(
            input,
            benchmark=dataset_benchmark(wildcards),
            weights=CONFIG.fusion.weights,
            scale=CONFIG.fusion.scale,
            mark=mark(wildcards),
            **lambda_options(wildcards),
        ),
        seed=CONFIG.seed,
        settings=section_json(CONFIG, "sensitivity"),
        taken=from_config(
            "seed",
            "fusion",
            "sensitivity",
            "datasets.{dataset}.benchmark",
            lambda_keys,
        ),
    shell:
        "IPCIR_RULE=sensitivity IPCIR_CONFIG={params.taken:q} ipcir sensitivity {params.options}"
        " --seed {params.seed} --settings {params.settings:q} --output {output} 2> {log}"
