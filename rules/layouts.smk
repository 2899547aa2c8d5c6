"""Layouts of the imagined image (language model)."""


use rule reasoning as layouts with:
    """Plan the imagined image of each query: a scene and instances with boxes."""
    input:
        queries=paths.QUERIES,
        captions=paths.SOURCE_CAPTIONS,
        references=shown_references("layouts"),
        model=llm_manifest("layouts"),
    output:
        of_device("layouts"),
    log:
        "logs/{dataset}/{split}/layouts/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="layouts")
    resources:
        mem_mb=sized("layouts"),
        runtime=1440,
        gpu=1,
    params:
        rule="layouts",
        step="layouts",
        options=llm_options("layouts"),
        settings=stack_settings("layouts"),
        taken=from_config(llm_keys("layouts")),
