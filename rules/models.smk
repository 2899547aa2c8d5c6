"""Models on disk, with the digest of every file."""


rule model:
    """Fetch a model where it is not local; record the digest of its files."""
    input:
        lambda wildcards: model_source(CONFIG.models[wildcards.role].source),
    output:
        "resources/manifests/{role}.json",
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
        source=lambda wildcards: CONFIG.models[wildcards.role].source,
        pins=lambda wildcards: pins_of(CONFIG.models[wildcards.role]),
    shell:
        "IPCIR_RULE=model HF_HUB_OFFLINE=0 ipcir models --name {wildcards.role} --source {params.source:q} {params.pins}"
        " --directory resources/models/{wildcards.role} --output {output} 2> {log}"


rule clip_model:
    """The same for a CLIP backbone."""
    input:
        lambda wildcards: model_source(CONFIG.clip[wildcards.backbone].source),
    output:
        "resources/manifests/clip/{backbone}.json",
    log:
        "logs/models/clip/{backbone}.log",
    benchmark:
        "benchmarks/results/models/clip/{backbone}.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        source=lambda wildcards: CONFIG.clip[wildcards.backbone].source,
        pins=lambda wildcards: pins_of(CONFIG.clip[wildcards.backbone]),
    shell:
        "IPCIR_RULE=clip_model HF_HUB_OFFLINE=0 ipcir models --name {wildcards.backbone} --source {params.source:q} {params.pins}"
        " --directory resources/models/clip/{wildcards.backbone} --output {output} 2> {log}"


rule mapping:
    """The same for the mapping network of a pseudo-word baseline."""
    input:
        lambda wildcards: model_source(mapping_model(wildcards).source),
    output:
        "resources/manifests/mappings/{baseline}/{backbone}.json",
    log:
        "logs/models/mappings/{baseline}/{backbone}.log",
    benchmark:
        "benchmarks/results/models/mappings/{baseline}/{backbone}.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        source=lambda wildcards: mapping_model(wildcards).source,
        pins=lambda wildcards: pins_of(mapping_model(wildcards)),
    shell:
        "IPCIR_RULE=mapping HF_HUB_OFFLINE=0 ipcir models --name {wildcards.backbone} --source {params.source:q} {params.pins}"
        " --directory resources/models/mappings/{wildcards.baseline}/{wildcards.backbone} --output {output} 2> {log}"
