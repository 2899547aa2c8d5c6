"""Robust proxy (eq. 1)."""


rule fusion:
    """Fuse proxy, query and perturbation (eq. 1), or a control without the right proxies."""
    input:
        proxies="results/{dataset}/{split}/{backbone}/proxies.safetensors",
        references="results/{dataset}/{split}/{backbone}/references.safetensors",
        target_captions="results/{dataset}/{split}/{backbone}/target_captions.safetensors",
        source_captions="results/{dataset}/{split}/{backbone}/source_captions.safetensors",
    output:
        "results/{dataset}/{split}/{backbone}/fusion/{variant}.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/fusion/{variant}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/fusion/{variant}.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        options=lambda wildcards, input: options(input, variant=wildcards.variant),
        seed=CONFIG.seed,
        settings=section_json(CONFIG, "fusion"),
    shell:
        "IPCIR_RULE=fusion ipcir fusion {params.options} --seed {params.seed} --settings {params.settings:q}"
        " --output {output} 2> {log}"
