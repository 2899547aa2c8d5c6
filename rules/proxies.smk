"""Imagined proxy images."""


include: "inputs/proxies.smk"


use rule captions as proxies with:
    """Draw N proxy images per query, from its layout where the generator draws layouts."""
    input:
        drawing_files,
        queries=paths.QUERIES,
        layouts=unless_unused("layouts", paths.LAYOUTS),
        masks=unless_unused("masks", paths.REFERENCE_MASKS),
        captions=where_drawn_from(paths.TARGET_CAPTIONS),
        references=paths.REFERENCES,
        models=drawing_models,
    output:
        of_device("proxies"),
    log:
        "logs/{dataset}/{split}/proxies/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="proxies")
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    resources:
        mem_mb=sized("proxies"),
        runtime=1440,
        gpu=1,
    params:
        rule="proxies",
        step="proxies",
        options=proxies_options,
        settings=stack_settings("proxies"),
        taken=from_config("seed", "stack.proxies", "datasets.{dataset}.root"),
