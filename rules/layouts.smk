"""Layouts of the imagined image (language model)."""


use rule reasoning as layouts with:
    """Plan the imagined image of each query: a scene and instances with boxes."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        captions="results/{dataset}/{split}/source_captions.jsonl",
        model=llm_manifest(CONFIG.layouts),
    output:
        "results/{dataset}/{split}/shards/layouts/{shard}.jsonl",
    log:
        "logs/{dataset}/{split}/layouts/{shard}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/layouts/{shard}.tsv"
    params:
        rule="layouts",
        settings=section_json(CONFIG, "layouts"),
