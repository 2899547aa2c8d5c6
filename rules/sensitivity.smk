"""Lambda, weights, number of proxies and parts of eq. 1, varied around the configured setting."""


rule sensitivity:
    """Rank with every setting of the sweeps in one pass over the gallery."""
    input:
        text="results/{dataset}/{split}/{backbone}/{baseline}/text.safetensors",
        gallery="results/{dataset}/{split}/{backbone}/gallery.safetensors",
        references="results/{dataset}/{split}/{backbone}/references.safetensors",
        proxies="results/{dataset}/{split}/{backbone}/proxies.safetensors",
        target_captions="results/{dataset}/{split}/{backbone}/target_captions.safetensors",
        source_captions="results/{dataset}/{split}/{backbone}/source_captions.safetensors",
        queries="results/{dataset}/{split}/queries.jsonl",
        images="results/{dataset}/{split}/gallery.jsonl",
        balance=tuned_balance,
    output:
        "results/{dataset}/{split}/{backbone}/{baseline}/sensitivity.json",
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
        mem_mb=growing(4000),
        runtime=240,
    params:
        benchmark=lambda wildcards: dataset_of(wildcards).benchmark,
        exclude=exclude_reference,
        weights=CONFIG.fusion.weights,
        scale=CONFIG.fusion.scale,
        balance=balance_option,
        seed=CONFIG.seed,
        settings=section_json(CONFIG, "sensitivity"),
    shell:
        "IPCIR_RULE=sensitivity ipcir sensitivity --text {input.text} --gallery {input.gallery}"
        " --references {input.references} --proxies {input.proxies}"
        " --target-captions {input.target_captions} --source-captions {input.source_captions}"
        " --queries {input.queries} --gallery-images {input.images} --benchmark {params.benchmark} {params.exclude}"
        " --weights {params.weights} --scale {params.scale} {params.balance} --seed {params.seed}"
        " --settings {params.settings:q} --output {output} 2> {log}"
