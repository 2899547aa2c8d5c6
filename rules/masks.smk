"""Reference-instance masks (Grounding DINO, SAM)."""


use rule captions as masks with:
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
    params:
        rule="masks",
        options=lambda wildcards, input: options(
            input, root=dataset_root(wildcards), cache="resources/cache"
        ),
        settings=section_json(CONFIG, "masks"),
