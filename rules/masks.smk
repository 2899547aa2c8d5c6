"""Reference-instance masks (Grounding DINO, SAM)."""


use rule captions as masks with:
    """Find and segment the instances that are to look like those in the reference image."""
    input:
        queries=paths.QUERIES,
        layouts=paths.LAYOUTS,
        references=paths.REFERENCES,
        detector=manifest("detector"),
        segmenter=manifest("segmenter"),
    output:
        of_device("masks"),
    log:
        "logs/{dataset}/{split}/masks/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="masks")
    resources:
        mem_mb=sized("masks"),
        runtime=1440,
        gpu=1,
    params:
        rule="masks",
        step="masks",
        options=lambda wildcards, input: options(
            input, root=dataset_root(wildcards), cache=paths.CACHE
        ),
        settings=stack_settings("masks"),
        taken=from_config("seed", "stack.masks", "datasets.{dataset}.root"),
