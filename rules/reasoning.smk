"""Target captions (language model)."""


include: "inputs/reasoning.smk"


use rule captions as reasoning with:
    """Write K target captions per query, one edit per source caption."""
    input:
        queries=paths.QUERIES,
        captions=paths.SOURCE_CAPTIONS,
        references=shown_references("reasoning"),
        model=llm_manifest("reasoning"),
    output:
        of_device("reasoning"),
    log:
        "logs/{dataset}/{split}/reasoning/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="reasoning")
    conda:
        "../envs/language.yaml"
    container:
        container("language")
    resources:
        mem_mb=sized("reasoning"),
        runtime=1440,
        gpu=1,
    params:
        rule="reasoning",
        step="reasoning",
        options=llm_options("reasoning"),
        settings=stack_settings("reasoning"),
        taken=from_config(llm_keys("reasoning")),
