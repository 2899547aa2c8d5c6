"""Verification: a model looks at the first candidates of every list, which are then ordered anew. Off by default."""


include: "inputs/verification.smk"


use rule captions as verify with:
    """Judge each pair of a query and a candidate once, whichever lists it stands in."""
    input:
        rankings=judged_lists,
        queries=paths.QUERIES,
        captions=paths.TARGET_CAPTIONS,
        gallery_images=paths.GALLERY,
        references=paths.REFERENCES,
        model=judge_manifest,
    output:
        of_device("verify"),
    log:
        "logs/{dataset}/{split}/verify/{device}.log",
    benchmark:
        paths.fill(paths.DEVICE_TIMES, step="verify")
    conda:
        f"../envs/{judge_environment()}.yaml"
    container:
        container(judge_environment())
    resources:
        mem_mb=sized("verify"),
        runtime=1440,
        gpu=1,
    params:
        rule="verify",
        step="verify",
        options=judge_options,
        settings=canonical(CONFIG.verify.judging.model_dump(mode="json")),
        taken=from_config("seed", judge_keys),


use rule gather_captions as gather_verify with:
    """Join the shards, one record per query."""
    input:
        queries=paths.QUERIES,
        shards=of_every_device(of_device("verify")),
    output:
        done=paths.JUDGEMENTS,
        failures=paths.fill(paths.STEP_FAILURES, step="verify"),
    log:
        "logs/{dataset}/{split}/verify/gather.log",
    benchmark:
        "benchmarks/results/{dataset}/{split}/verify/gather.tsv"
    params:
        rule="gather_verify",
        key="query_id",
