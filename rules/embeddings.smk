"""CLIP features of images and captions."""


include: "inputs/embeddings.smk"


rule gallery_features:
    """Encode the gallery."""
    input:
        images="results/{dataset}/{split}/gallery.jsonl",
        model="resources/manifests/clip/{backbone}.json",
    output:
        "results/{dataset}/{split}/{backbone}/gallery.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/gallery.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/gallery.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=720,
        gpu=1,
    params:
        rule="gallery_features",
        kind="images",
        options=lambda wildcards, input: options(input, root=dataset_root(wildcards)),
        settings=embedding_settings,
    shell:
        "IPCIR_RULE={params.rule} ipcir devices --count {resources.gpu} -- ipcir embeddings {params.kind}"
        " {params.options} --settings {params.settings:q} --output {output} 2> {log}"


use rule gallery_features as references_features with:
    """Encode each unique reference image; one row per query."""
    input:
        images="results/{dataset}/{split}/references.jsonl",
        queries="results/{dataset}/{split}/queries.jsonl",
        model="resources/manifests/clip/{backbone}.json",
    output:
        "results/{dataset}/{split}/{backbone}/references.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/references.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/references.tsv"
    params:
        rule="references_features",


use rule gallery_features as source_captions_features with:
    """Encode the source captions."""
    input:
        captions="results/{dataset}/{split}/source_captions.jsonl",
        queries="results/{dataset}/{split}/queries.jsonl",
        model="resources/manifests/clip/{backbone}.json",
    output:
        "results/{dataset}/{split}/{backbone}/source_captions.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/source_captions.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/source_captions.tsv"
    params:
        rule="source_captions_features",
        kind="captions",
        options=lambda wildcards, input: options(input),


use rule source_captions_features as target_captions_features with:
    """Encode the target captions."""
    input:
        captions="results/{dataset}/{split}/target_captions.jsonl",
        queries="results/{dataset}/{split}/queries.jsonl",
        model="resources/manifests/clip/{backbone}.json",
    output:
        "results/{dataset}/{split}/{backbone}/target_captions.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/target_captions.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/target_captions.tsv"
    params:
        rule="target_captions_features",


use rule gallery_features as proxies_features with:
    """Encode the proxy images."""
    input:
        index=f"results/{{dataset}}/{{split}}/proxies/{GENERATOR}/index.jsonl",
        queries="results/{dataset}/{split}/queries.jsonl",
        model="resources/manifests/clip/{backbone}.json",
    output:
        "results/{dataset}/{split}/{backbone}/proxies.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/proxies.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/proxies.tsv"
    params:
        rule="proxies_features",
        kind="proxies",
        options=lambda wildcards, input: options(input, images=Path(input.index).parent),
