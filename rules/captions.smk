"""Source captions (BLIP-2)."""


rule captions:
    """Describe each unique reference image K times."""
    input:
        references="results/{dataset}/{split}/references.jsonl",
        model="resources/manifests/captioner.json",
    output:
        "results/{dataset}/{split}/shards/captions/{shard}.jsonl",
    log:
        "logs/{dataset}/{split}/captions/{shard}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/captions/{shard}.tsv"
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
        settings=section_json(CONFIG, "captions"),
        root=dataset_root,
    shell:
        "IPCIR_RULE=captions ipcir devices --count {resources.gpu} --"
        " ipcir captions --references {input.references} --root {params.root:q} --model {input.model}"
        " --seed {params.seed} --shard {wildcards.shard}/{params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"


rule gather_captions:
    """Join the shards in query order."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=shards_of("captions"),
    output:
        done="results/{dataset}/{split}/source_captions.jsonl",
        failures="results/{dataset}/{split}/captions.failures.jsonl",
    log:
        "logs/{dataset}/{split}/captions/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/captions/gather.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=gather_captions ipcir gather --queries {input.queries} --key reference --shards {input.shards}"
        " --output {output.done} --failures {output.failures} 2> {log}"
