"""What each side alone finds, as a judge sees it: for the rule that balances text and proxies by a judge."""


use rule ranking as side_ranking with:
    """Rank with lambda 0: by the text alone, by the proxies alone, and, for the controls, by the product of both."""
    input:
        text=paths.TEXT,
        gallery=paths.GALLERY_FEATURES,
        queries=paths.QUERIES,
        gallery_images=paths.GALLERY,
        fusion=expand(paths.FUSED, proxy=PROXIES, allow_missing=True),
    output:
        expand(
            [paths.SIDE_RANKINGS, paths.SIDE_SUBSET],
            variant=USUAL,
            allow_missing=True,
        ),
    log:
        "logs/{dataset}/{split}/{backbone}/{baseline}/side_ranking.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/{backbone}/{baseline}/side_ranking.tsv"
    params:
        rule="side_ranking",
        options=lambda wildcards, input: options(
            input,
            variants=USUAL,
            lambda_=0.0,
            mark=mark(wildcards),
            exclude_reference=dataset_of(wildcards).exclude_reference,
        ),
        taken=from_config("ranking", "datasets.{dataset}.exclude_reference"),


use rule verify as verify_sides with:
    """Judge the first candidates of these lists; what is judged here is not judged again when the lists are verified."""
    input:
        rankings=side_lists,
        queries=paths.QUERIES,
        captions=paths.TARGET_CAPTIONS,
        gallery_images=paths.GALLERY,
        references=paths.REFERENCES,
        model=judge_manifest,
    output:
        of_device("verify_sides"),
    log:
        "logs/{dataset}/{split}/verify_sides/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="verify_sides")
    params:
        rule="verify_sides",
        settings=side_settings(),
        taken=from_config("seed", side_keys),


use rule gather_captions as gather_verify_sides with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("verify_sides")),
    output:
        done=paths.SIDE_JUDGEMENTS,
        failures=paths.fill(paths.STEP_FAILURES, step="verify_sides"),
    log:
        "logs/{dataset}/{split}/verify_sides/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/verify_sides/gather.tsv"
    params:
        rule="gather_verify_sides",
        key="query_id",
