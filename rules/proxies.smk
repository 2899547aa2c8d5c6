"""Imagined proxy images."""


include: "inputs/proxies.smk"


use rule captions as proxies with:
    """Draw N proxy images per query from its layout."""
    input:
        [CONFIG.proxies.statistics] if CONFIG.proxies.statistics else [],
        **{role: f"resources/manifests/{role}.json" for role in generator_roles()},
        queries="results/{dataset}/{split}/queries.jsonl",
        layouts="results/{dataset}/{split}/layouts.jsonl",
        masks="results/{dataset}/{split}/reference_masks.jsonl",
        references="results/{dataset}/{split}/references.jsonl",
        model="resources/manifests/generator.json",
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
    resources:
        mem_mb=growing(8000),
        runtime=1440,
        gpu=1,
    params:
        rule="proxies",
        options=proxies_options,
        settings=section_json(CONFIG, "proxies"),
