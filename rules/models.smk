"""Models on disk, with the digest of every file."""


include: "inputs/models.smk"


rule model:
    """Fetch a model where it is not local; record the digest of its files."""
    input:
        made_by_rule(lambda wildcards: stack_of(wildcards).models[wildcards.role]),
    output:
        paths.MANIFEST,
    log:
        "logs/models/{stack}/{role}.log",
    benchmark:
        "benchmarks/results/models/{stack}/{role}.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(400),
        runtime=720,
    params:
        rule="model",
        name="{role}",
        key="stacks.{stack}.models.{role}",
        taken=from_config("stack.models.{role}"),
        options=model_options(
            lambda wildcards: stack_of(wildcards).models[wildcards.role],
            "{role}",
            stored_dtype,
        ),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} HF_HUB_OFFLINE=0 ipcir models --name {params.name}"
        " --key {params.key} {params.options} --output {output} 2>&1 | tee {log} >&2"


use rule model as clip_model with:
    """Fetch a CLIP backbone in the same way."""
    input:
        made_by_rule(lambda wildcards: stack_of(wildcards).clip[wildcards.backbone]),
    output:
        paths.CLIP_MANIFEST,
    log:
        "logs/models/{stack}/clip/{backbone}.log",
    benchmark:
        "benchmarks/results/models/{stack}/clip/{backbone}.tsv"
    params:
        rule="clip_model",
        taken=from_config("stack.clip.{backbone}"),
        name="{backbone}",
        key="stacks.{stack}.clip.{backbone}",
        options=model_options(
            lambda wildcards: stack_of(wildcards).clip[wildcards.backbone], "clip"
        ),


use rule model as mapping with:
    """Fetch the mapping network of a pseudo-word baseline in the same way."""
    input:
        made_by_rule(
            lambda wildcards: stack_of(wildcards).mappings[wildcards.baseline][
                wildcards.backbone
            ]
        ),
    output:
        paths.MAPPING_MANIFEST,
    log:
        "logs/models/{stack}/mappings/{baseline}/{backbone}.log",
    benchmark:
        "benchmarks/results/models/{stack}/mappings/{baseline}/{backbone}.tsv"
    params:
        rule="mapping",
        taken=from_config("stack.mappings.{baseline}.{backbone}"),
        name="{backbone}",
        key="stacks.{stack}.mappings.{baseline}.{backbone}",
        options=model_options(
            lambda wildcards: stack_of(wildcards).mappings[wildcards.baseline][
                wildcards.backbone
            ],
            "mapping",
        ),
