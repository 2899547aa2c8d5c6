"""CLIP features of images and captions."""


include: "inputs/embeddings.smk"


rule gallery_features:
    """Encode the gallery."""
    input:
        images=paths.GALLERY,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.GALLERY_FEATURES,
    log:
        "logs/{dataset}/{split}/{backbone}/gallery.log",
    benchmark:
        paths.fill(paths.FEATURES_TIMES, features="gallery")
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=sized("image_features"),
        runtime=720,
        gpu=1,
    params:
        rule="gallery_features",
        kind="images",
        options=lambda wildcards, input: options(input, root=dataset_root(wildcards)),
        settings=embedding_settings,
        taken=from_config(
            "stack.embeddings",
            "stack.clip.{backbone}.architecture",
            "datasets.{dataset}.root",
        ),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir devices --count {resources.gpu} --"
        " ipcir embeddings {params.kind} {params.options} --settings {params.settings:q} --output {output} 2> {log}"


use rule gallery_features as references_features with:
    """Encode each unique reference image; one row per query."""
    input:
        images=paths.REFERENCES,
        queries=paths.QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.REFERENCE_FEATURES,
    log:
        "logs/{dataset}/{split}/{backbone}/references.log",
    benchmark:
        paths.fill(paths.FEATURES_TIMES, features="references")
    params:
        rule="references_features",


use rule gallery_features as source_captions_features with:
    """Encode the source captions."""
    input:
        captions=paths.SOURCE_CAPTIONS,
        queries=paths.QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.SOURCE_CAPTION_FEATURES,
    log:
        "logs/{dataset}/{split}/{backbone}/source_captions.log",
    benchmark:
        paths.fill(paths.FEATURES_TIMES, features="source_captions")
    resources:
        mem_mb=sized("text_features"),
        runtime=720,
        gpu=1,
    params:
        rule="source_captions_features",
        kind="captions",
        options=lambda wildcards, input: options(input),
        taken=from_config("stack.embeddings", "stack.clip.{backbone}.architecture"),


use rule source_captions_features as target_captions_features with:
    """Encode the target captions."""
    input:
        captions=paths.TARGET_CAPTIONS,
        queries=paths.QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.TARGET_CAPTION_FEATURES,
    log:
        "logs/{dataset}/{split}/{backbone}/target_captions.log",
    benchmark:
        paths.fill(paths.FEATURES_TIMES, features="target_captions")
    params:
        rule="target_captions_features",


use rule gallery_features as proxies_features with:
    """Encode the proxy images."""
    input:
        index=proxy_index,
        queries=paths.QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.PROXY_FEATURES,
    log:
        "logs/{dataset}/{split}/{backbone}/proxies.log",
    benchmark:
        paths.fill(paths.FEATURES_TIMES, features="proxies")
    params:
        rule="proxies_features",
        kind="proxies",
        options=lambda wildcards, input: options(input, images=Path(input.index).parent),
        taken=from_config("stack.embeddings", "stack.clip.{backbone}.architecture"),
