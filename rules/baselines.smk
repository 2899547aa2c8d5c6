"""Text side of the similarity."""


include: "inputs/baselines.smk"


rule baseline:
    """Make the query side of the text similarity."""
    input:
        baseline_files,
        queries=paths.QUERIES,
        target_captions=paths.TARGET_CAPTION_FEATURES,
        source_captions=paths.SOURCE_CAPTION_FEATURES,
        gallery=paths.GALLERY_FEATURES,
        references=paths.REFERENCE_FEATURES,
        model=of_stack(paths.CLIP_MANIFEST),
        weights=mapping_of,
        images=images_of,
    output:
        paths.TEXT,
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/baseline.log",
    benchmark:
        paths.BASELINE_TIMES
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=sized("baseline"),
        runtime=720,
        gpu=1,
    params:
        baseline=baseline_name,
        options=baseline_options,
        seed=CONFIG.seed,
        settings=baseline_settings,
        taken=from_config(baseline_keys),
    shell:
        "IPCIR_RULE=baseline IPCIR_CONFIG={params.taken:q} ipcir devices --count {resources.gpu} --"
        " ipcir baselines {params.baseline:q} {params.options} --seed {params.seed} --settings {params.settings:q} --output {output} 2> {log}"
