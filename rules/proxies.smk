"""Imagined proxy images."""


include: "inputs/proxies.smk"


use rule captions as proxies with:
    """Draw N proxy images per query from its layout."""
    input:
        statistics_of,
        **{role: generator_model(role) for role in GENERATOR_ROLES},
        queries=paths.QUERIES,
        layouts=paths.LAYOUTS,
        masks=paths.REFERENCE_MASKS,
        references=paths.REFERENCES,
        model=manifest("generator"),
    output:
        paths.fill(paths.SHARD, step="proxies"),
    log:
        "logs/{dataset}/{split}/proxies/{shard}.log",
    benchmark:
        paths.fill(paths.SHARD_TIMES, step="proxies")
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
        settings=stack_settings("proxies"),
