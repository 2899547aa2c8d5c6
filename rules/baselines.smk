"""Text side of the similarity."""


rule baseline:
    """Make the query side of the text similarity."""
    input:
        queries="results/{dataset}/{split}/queries.jsonl",
        target_captions="results/{dataset}/{split}/{backbone}/target_captions.safetensors",
        source_captions="results/{dataset}/{split}/{backbone}/source_captions.safetensors",
        gallery="results/{dataset}/{split}/{backbone}/gallery.safetensors",
        references="results/{dataset}/{split}/{backbone}/references.safetensors",
        model="resources/manifests/clip/{backbone}.json",
        mapping=mapping_of,
        files=baseline_files,
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
        benchmark=lambda wildcards: dataset_of(wildcards).benchmark,
        settings=baseline_settings,
        baseline=baseline_name,
        architecture=lambda wildcards: (
            f"--architecture {architecture_of(wildcards)}"
            if architecture_of(wildcards)
            else ""
        ),
        mapping=lambda wildcards, input: (
            f"--weights {input.mapping}" if input.mapping else ""
        ),
        seed=CONFIG.seed,
    shell:
        "IPCIR_RULE=baseline ipcir devices --count {resources.gpu} --"
        " ipcir baselines {params.baseline:q} --queries {input.queries} --benchmark {params.benchmark}"
        " --target-captions {input.target_captions} --source-captions {input.source_captions}"
        " --gallery {input.gallery} --references {input.references} --model {input.model}"
        " {params.architecture} {params.mapping}"
        " --seed {params.seed} --settings {params.settings:q} --output {output} 2> {log}"
