"""Lambda of every variant, chosen on a labelled split (datasets.NAME.tuned_on)."""


rule balance:
    """Choose each variant's lambda where the targets are known."""
    input:
        text="results/{dataset}/{split}/{backbone}/{baseline}/text.safetensors",
        gallery="results/{dataset}/{split}/{backbone}/gallery.safetensors",
        queries="results/{dataset}/{split}/queries.jsonl",
        images="results/{dataset}/{split}/gallery.jsonl",
        fusion=expand(
            "results/{dataset}/{split}/{backbone}/fusion/{variant}.safetensors",
            variant=PROXIES,
            allow_missing=True,
        ),
    output:
        "results/{dataset}/{split}/{backbone}/{baseline}/balance.json",
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/balance.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/balance.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        benchmark=lambda wildcards: dataset_of(wildcards).benchmark,
        exclude=exclude_reference,
        settings=section_json(CONFIG, "ranking"),
    shell:
        "IPCIR_RULE=balance ipcir balance --text {input.text} --gallery {input.gallery} --queries {input.queries}"
        " --gallery-images {input.images} --fusion {input.fusion}"
        " --benchmark {params.benchmark} {params.exclude} --settings {params.settings:q}"
        " --output {output} 2> {log}"
