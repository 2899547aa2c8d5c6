"""The page of queries."""


rule gallery:
    """Write a page that shows every query with its captions, layout, proxies and lists; it needs no server."""
    input:
        **example_inputs(),
    output:
        directory("results/gallery/{dataset}"),
    log:
        "logs/{dataset}/gallery.log",
    benchmark:
        "benchmarks/results/{dataset}/gallery.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=60,
    params:
        options=example_options,
        settings=section_json(CONFIG, "figures"),
    shell:
        "IPCIR_RULE=gallery ipcir gallery --dataset {wildcards.dataset} {params.options}"
        " --settings {params.settings:q} --output {output} 2> {log}"
