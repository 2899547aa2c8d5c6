"""Layouts of the imagined image (chat model)."""


rule layouts:
    """Plan the imagined image of each query: a scene and instances with boxes."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        captions="results/{dataset}/{split}/source_captions.jsonl",
        model=llm("layouts"),
    output:
        "results/{dataset}/{split}/shards/layouts/{shard}.jsonl",
    log:
        "logs/{dataset}/{split}/layouts/{shard}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/layouts/{shard}.tsv"
    conda:
        "../envs/language.yaml"
    container:
        container("language")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=1440,
        gpu=1,
    params:
        seed=CONFIG.seed,
        model=lambda wildcards, input: f"--model {input.model}" if input.model else "",
        shards=CONFIG.shards,
        settings=section_json(CONFIG, "layouts"),
    shell:
        "IPCIR_RULE=layouts ipcir devices --count {resources.gpu} --"
        " ipcir layouts --queries {input.queries} --captions {input.captions} {params.model} --cache resources/cache"
        " --seed {params.seed} --shard {wildcards.shard}/{params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"


rule gather_layouts:
    """Join the shards in query order."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=shards_of("layouts"),
    output:
        done="results/{dataset}/{split}/layouts.jsonl",
        failures="results/{dataset}/{split}/layouts.failures.jsonl",
    log:
        "logs/{dataset}/{split}/layouts/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/layouts/gather.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=gather_layouts ipcir gather --queries {input.queries} --key query_id --shards {input.shards}"
        " --output {output.done} --failures {output.failures} 2> {log}"
