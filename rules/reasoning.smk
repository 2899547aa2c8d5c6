"""Target captions (chat model)."""


rule reasoning:
    """Write K target captions per query, one edit per source caption."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        captions="results/{dataset}/{split}/source_captions.jsonl",
        model=llm("reasoning"),
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
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=1440,
        gpu=1,
    params:
        seed=CONFIG.seed,
        model=lambda wildcards, input: f"--model {input.model}" if input.model else "",
        shards=CONFIG.shards,
        settings=section_json(CONFIG, "reasoning"),
    shell:
        "IPCIR_RULE=reasoning ipcir devices --count {resources.gpu} --"
        " ipcir reasoning --queries {input.queries} --captions {input.captions} {params.model} --cache resources/cache"
        " --seed {params.seed} --shard {wildcards.shard}/{params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"


rule gather_reasoning:
    """Join the shards in query order."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=shards_of("reasoning"),
    output:
        done="results/{dataset}/{split}/target_captions.jsonl",
        failures="results/{dataset}/{split}/reasoning.failures.jsonl",
    log:
        "logs/{dataset}/{split}/reasoning/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/reasoning/gather.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=gather_reasoning ipcir gather --queries {input.queries} --key query_id --shards {input.shards}"
        " --output {output.done} --failures {output.failures} 2> {log}"
