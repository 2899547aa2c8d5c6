"""Imagined proxy images."""


rule proxies:
    """Draw N proxy images per query from its layout."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        layouts="results/{dataset}/{split}/layouts.jsonl",
        masks="results/{dataset}/{split}/reference_masks.jsonl",
        references="results/{dataset}/{split}/references.jsonl",
        model="resources/manifests/generator.json",
        parts=generator_parts,
    output:
        "results/{dataset}/{split}/shards/proxies/{shard}.jsonl",
    log:
        "logs/{dataset}/{split}/proxies/{shard}.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/proxies/{shard}.tsv"
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=1440,
        gpu=1,
    params:
        seed=CONFIG.seed,
        shards=CONFIG.shards,
        settings=section_json(CONFIG, "proxies"),
        root=dataset_root,
        generator=GENERATOR,
        parts=generator_options,
    shell:
        "IPCIR_RULE=proxies ipcir devices --count {resources.gpu} --"
        " ipcir proxies --queries {input.queries} --layouts {input.layouts} --masks {input.masks}"
        " --references {input.references} --root {params.root:q} --model {input.model} {params.parts}"
        " --images results/{wildcards.dataset}/{wildcards.split}/proxies/{params.generator}"
        " --seed {params.seed} --shard {wildcards.shard}/{params.shards}"
        " --settings {params.settings:q} --output {output} 2> {log}"


rule gather_proxies:
    """Join the shards in query order."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        shards=shards_of("proxies"),
    output:
        done=f"results/{{dataset}}/{{split}}/proxies/{GENERATOR}/index.jsonl",
        failures="results/{dataset}/{split}/proxies.failures.jsonl",
    log:
        "logs/{dataset}/{split}/proxies/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/proxies/gather.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    shell:
        "IPCIR_RULE=gather_proxies ipcir gather --queries {input.queries} --key query_id --shards {input.shards}"
        " --output {output.done} --failures {output.failures} 2> {log}"
