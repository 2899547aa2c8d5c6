"""Source captions (BLIP-2). The other steps with shards inherit this rule."""


include: "inputs/captions.smk"


rule captions:
    """Describe each unique reference image K times; one job for each device, with all of its shards."""
    input:
        references=paths.REFERENCES,
        model=manifest("captioner"),
    output:
        of_device("captions"),
    log:
        "logs/{dataset}/{split}/captions/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="captions")
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
        step="captions",
        options=lambda wildcards, input: options(input, root=dataset_root(wildcards)),
        seed=CONFIG.seed,
        shards=numbers_of_device,
        settings=stack_settings("captions"),
        taken=from_config("seed", "stack.captions", "datasets.{dataset}.root"),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir devices --count {resources.gpu} --"
        " ipcir {params.step} {params.options}"
        " --seed {params.seed} --shard {params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"
