"""Models on disk, with the digest of every file."""


include: "inputs/models.smk"


rule model:
    """Fetch a model where it is not local; record the digest of its files."""
    input:
        made_by_rule(lambda wildcards: CONFIG.models[wildcards.role]),
    output:
        paths.MANIFEST,
    log:
        "logs/models/{role}.log",
    benchmark:
        "benchmarks/results/models/{role}.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        rule="model",
        name="{role}",
        options=model_options(lambda wildcards: CONFIG.models[wildcards.role]),
        directory=paths.MODEL,
    shell:
        "IPCIR_RULE={params.rule} HF_HUB_OFFLINE=0 ipcir models --name {params.name} {params.options}"
        " --directory {params.directory} --output {output} 2> {log}"


use rule model as clip_model with:
    """Fetch a CLIP backbone in the same way."""
    input:
        made_by_rule(lambda wildcards: CONFIG.clip[wildcards.backbone]),
    output:
        paths.CLIP_MANIFEST,
    log:
        "logs/models/clip/{backbone}.log",
    benchmark:
        "benchmarks/results/models/clip/{backbone}.tsv"
    params:
        rule="clip_model",
        name="{backbone}",
        options=model_options(lambda wildcards: CONFIG.clip[wildcards.backbone]),
        directory=paths.CLIP_MODEL,


use rule model as mapping with:
    """Fetch the mapping network of a pseudo-word baseline in the same way."""
    input:
        made_by_rule(
            lambda wildcards: CONFIG.mappings[wildcards.baseline][wildcards.backbone]
        ),
    output:
        paths.MAPPING_MANIFEST,
    log:
        "logs/models/mappings/{baseline}/{backbone}.log",
    benchmark:
        "benchmarks/results/models/mappings/{baseline}/{backbone}.tsv"
    params:
        rule="mapping",
        name="{backbone}",
        options=model_options(
            lambda wildcards: CONFIG.mappings[wildcards.baseline][wildcards.backbone]
        ),
        directory=paths.MAPPING_MODEL,
