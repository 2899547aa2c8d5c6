"""Text side of the similarity."""


include: "inputs/baselines.smk"


rule baseline:
    """Make the query side of the text similarity."""
    input:
        baseline_files,
        queries="results/{dataset}/{split}/queries.jsonl",
        target_captions="results/{dataset}/{split}/{backbone}/target_captions.safetensors",
        source_captions="results/{dataset}/{split}/{backbone}/source_captions.safetensors",
        gallery="results/{dataset}/{split}/{backbone}/gallery.safetensors",
        references="results/{dataset}/{split}/{backbone}/references.safetensors",
        model="resources/manifests/clip/{backbone}.json",
        weights=mapping_of,
    output:
        "results/{dataset}/{split}/{backbone}/{baseline}/text.safetensors",
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/baseline.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/baseline.tsv"
    conda:
        "../envs/vision.yaml"
    container:
        container("vision")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=720,
        gpu=1,
    params:
        baseline=baseline_name,
        options=baseline_options,
        seed=CONFIG.seed,
        settings=baseline_settings,
    shell:
        "IPCIR_RULE=baseline ipcir devices --count {resources.gpu} -- ipcir baselines {params.baseline:q}"
        " {params.options} --seed {params.seed} --settings {params.settings:q} --output {output} 2> {log}"
