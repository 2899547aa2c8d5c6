"""Reference-instance masks (Grounding DINO, SAM)."""


rule masks:
    """Find and cut out the instances that are taken over from the reference image."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        layouts="results/{dataset}/{split}/layouts.jsonl",
        references="results/{dataset}/{split}/references.jsonl",
        detector="resources/manifests/detector.json",
        segmenter="resources/manifests/segmenter.json",
    output:
        "results/{dataset}/{split}/shards/masks/{shard}.jsonl",
    log:
        "logs/{dataset}/{split}/masks/{shard}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/masks/{shard}.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=1440,
        gpu=1,
    params:
        seed=CONFIG.seed,
        shards=CONFIG.shards,
        settings=section_json(CONFIG, "masks"),
        root=dataset_root,
    shell:
        "IPCIR_RULE=masks ipcir devices --count {resources.gpu} --"
        " ipcir masks --queries {input.queries} --layouts {input.layouts}"
        " --references {input.references} --root {params.root:q}"
        " --detector {input.detector} --segmenter {input.segmenter} --cache resources/cache"
        " --seed {params.seed} --shard {wildcards.shard}/{params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"


rule gather_masks:
    """Join the shards in query order."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=shards_of("masks"),
    output:
        done="results/{dataset}/{split}/reference_masks.jsonl",
        failures="results/{dataset}/{split}/masks.failures.jsonl",
    log:
        "logs/{dataset}/{split}/masks/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/masks/gather.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=gather_masks ipcir gather --queries {input.queries} --key query_id --shards {input.shards}"
        " --output {output.done} --failures {output.failures} 2> {log}"
