"""Target captions (language model)."""


use rule captions as reasoning with:
    """Write K target captions per query, one edit per source caption."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        captions="results/{dataset}/{split}/source_captions.jsonl",
        model=llm_manifest(CONFIG.reasoning),
    output:
        "results/{dataset}/{split}/shards/reasoning/{shard}.jsonl",
    log:
        "logs/{dataset}/{split}/reasoning/{shard}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/reasoning/{shard}.tsv"
    conda:
        "../envs/language.yaml"
    container:
        container("language")
    params:
        rule="reasoning",
        options=lambda wildcards, input: options(input, cache="resources/cache"),
        settings=section_json(CONFIG, "reasoning"),
