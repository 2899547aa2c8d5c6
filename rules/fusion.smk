"""Robust proxy (eq. 1)."""


rule fusion:
    """Fuse proxy, query and perturbation (eq. 1), or a control without the right proxies."""
    input:
        proxies=where_drawn(paths.PROXY_FEATURES),
        references=paths.REFERENCE_FEATURES,
        target_captions=paths.TARGET_CAPTION_FEATURES,
        source_captions=paths.SOURCE_CAPTION_FEATURES,
    output:
        paths.FUSED,
    log:
        "logs/{dataset}/{split}/{backbone}/fusion/{proxy}.log",
    benchmark:
        paths.FUSED_TIMES
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=30,
    params:
        options=lambda wildcards, input: options(input, variant=wildcards.proxy),
        seed=CONFIG.seed,
        settings=section_json(CONFIG, "fusion"),
        taken=from_config("seed", "fusion"),
    shell:
        "IPCIR_RULE=fusion IPCIR_CONFIG={params.taken:q} ipcir fusion {params.options} --seed {params.seed}"
        " --settings {params.settings:q} --output {output} 2> {log}"
