"""Source captions (BLIP-2). The other steps with shards inherit this rule."""


rule captions:
    """Describe each unique reference image K times."""
    input:
        references=paths.REFERENCES,
        model=manifest("captioner"),
    output:
        paths.fill(paths.SHARD, step="captions"),
    log:
        "logs/{dataset}/{split}/captions/{shard}.log",
    benchmark:
        paths.fill(paths.SHARD_TIMES, step="captions")
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=sized("captions"),
        runtime=1440,
        gpu=1,
    params:
        rule="captions",
        options=lambda wildcards, input: options(input, root=dataset_root(wildcards)),
        seed=CONFIG.seed,
        shards=CONFIG.shards,
        settings=stack_settings("captions"),
        taken=from_config("seed", "stack.captions", "datasets.{dataset}.root"),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir devices --count {resources.gpu} --"
        " ipcir {params.rule} {params.options}"
        " --seed {params.seed} --shard {wildcards.shard}/{params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"
