"""CLIP features of images and captions."""


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
        settings=embedding_settings,
        root=dataset_root,
    shell:
        "IPCIR_RULE=gallery_features ipcir devices --count {resources.gpu} --"
        " ipcir embeddings images --images {input.images} --root {params.root:q}"
        " --model {input.model} --settings {params.settings:q} --output {output} 2> {log}"


rule references_features:
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
        settings=embedding_settings,
        root=dataset_root,
    shell:
        "IPCIR_RULE=references_features ipcir devices --count {resources.gpu} --"
        " ipcir embeddings images --images {input.images} --root {params.root:q} --queries {input.queries}"
        " --model {input.model} --settings {params.settings:q} --output {output} 2> {log}"


rule source_captions_features:
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
        settings=embedding_settings,
    shell:
        "IPCIR_RULE=source_captions_features ipcir devices --count {resources.gpu} --"
        " ipcir embeddings captions --captions {input.captions} --queries {input.queries}"
        " --model {input.model} --settings {params.settings:q} --output {output} 2> {log}"


rule target_captions_features:
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
        settings=embedding_settings,
    shell:
        "IPCIR_RULE=target_captions_features ipcir devices --count {resources.gpu} --"
        " ipcir embeddings captions --captions {input.captions} --queries {input.queries}"
        " --model {input.model} --settings {params.settings:q} --output {output} 2> {log}"


rule proxies_features:
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
        settings=embedding_settings,
        generator=GENERATOR,
    shell:
        "IPCIR_RULE=proxies_features ipcir devices --count {resources.gpu} --"
        " ipcir embeddings proxies --index {input.index} --queries {input.queries}"
        " --images results/{wildcards.dataset}/{wildcards.split}/proxies/{params.generator}"
        " --model {input.model} --settings {params.settings:q} --output {output} 2> {log}"
