"""The proxies in words, and text sides that these words join. Off by default: nothing asks for them."""


include: "inputs/proxy_captions.smk"


use rule captions as proxy_captions with:
    """Describe each drawn proxy."""
    input:
        queries=paths.QUERIES,
        index=proxy_index,
        model=manifest("captioner"),
    output:
        of_device("proxy_captions"),
    log:
        "logs/{dataset}/{split}/proxy_captions/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="proxy_captions")
    resources:
        mem_mb=sized("proxy_captions"),
        runtime=1440,
        gpu=1,
    params:
        rule="proxy_captions",
        step="proxy_captions",
        options=lambda wildcards, input: options(input, images=Path(input.index).parent),
        settings=proxy_caption_settings,
        taken=from_config(proxy_caption_keys),


use rule gather_captions as gather_proxy_captions with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("proxy_captions")),
    output:
        done=paths.PROXY_CAPTIONS,
        failures=paths.fill(paths.STEP_FAILURES, step="proxy_captions"),
    log:
        "logs/{dataset}/{split}/proxy_captions/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/proxy_captions/gather.tsv"
    params:
        rule="gather_proxy_captions",
        key="query_id",


use rule source_captions_features as proxy_captions_features with:
    """Encode the captions of the proxies."""
    input:
        captions=paths.PROXY_CAPTIONS,
        queries=paths.QUERIES,
        model=of_stack(paths.CLIP_MANIFEST),
    output:
        paths.PROXY_CAPTION_FEATURES,
    log:
        "logs/{dataset}/{split}/{backbone}/proxy_captions.log",
    benchmark:
        paths.fill(paths.FEATURES_TIMES, features="proxy_captions")
    params:
        rule="proxy_captions_features",


ruleorder: captioned_baseline > baseline


rule captioned_baseline:
    """Join the captions of the proxies to the text side of a baseline."""
    input:
        queries=paths.QUERIES,
        text=text_before,
        proxy_captions=paths.PROXY_CAPTION_FEATURES,
    output:
        paths.TEXT,
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/baseline.log",
    benchmark:
        paths.BASELINE_TIMES
    wildcard_constraints:
        baseline=joined_names(),
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=30,
    params:
        options=lambda wildcards, input: options(
            input, benchmark=dataset_benchmark(wildcards)
        ),
        seed=CONFIG.seed,
        settings=joining,
        taken=from_config(
            "seed", "datasets.{dataset}.benchmark", "proxy_captions.joined.{baseline}"
        ),
    shell:
        "IPCIR_RULE=captioned_baseline IPCIR_CONFIG={params.taken:q} ipcir baselines captioned {params.options}"
        " --seed {params.seed} --settings {params.settings:q} --output {output} 2> {log}"
