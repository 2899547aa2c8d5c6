"""Layouts of the imagined image (language model)."""


use rule reasoning as layouts with:
    """Plan the imagined image of each query: a scene and instances with boxes."""
    input:
        queries=paths.QUERIES,
        captions=paths.SOURCE_CAPTIONS,
        model=llm_manifest("layouts"),
    output:
        paths.fill(paths.SHARD, step="layouts"),
    log:
        "logs/{dataset}/{split}/layouts/{shard}.log",
    benchmark:
        paths.fill(paths.SHARD_TIMES, step="layouts")
    resources:
        mem_mb=sized("layouts"),
        runtime=1440,
        gpu=1,
    params:
        rule="layouts",
        settings=stack_settings("layouts"),
        taken=from_config("seed", "stack.layouts"),
