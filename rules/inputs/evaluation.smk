"""Input functions of the evaluation."""


def of_backbones(pattern, **more):
    """Input function: ``pattern`` for the labelled split and every backbone of the dataset's stack."""
    return lambda wildcards: of_metrics_split(
        pattern, backbone=stack_of(wildcards).backbones, **more
    )(wildcards)


def variants_of_run(wildcards):
    """Names of all lists that are scored: the variants, and behind each its verified list where lists are verified.

    Lists are verified where something is drawn.
    """
    if CONFIG.verify.judge is None or not drawing(wildcards).draws:
        return variants_of(wildcards)
    return [
        each for name in variants_of(wildcards) for each in (name, verified_name(name))
    ]


def listed_keys(wildcards):
    """What says which lists there are, where these are not the usual ones."""
    return [
        *(["extra_variants"] if CONFIG.extra_variants else []),
        *(["verify.judge"] if CONFIG.verify.judge else []),
    ]


def subsets_of(wildcards):
    """{name: file of query ids} of a dataset; they are ids of the split with labels."""
    dataset = dataset_of(wildcards)
    return dataset.subsets if wildcards.split == dataset.split else {}


def subset_files(wildcards):
    return list(subsets_of(wildcards).values())


def subset_options(wildcards):
    return [f"{name}={file}" for name, file in subsets_of(wildcards).items()]


def subset_keys(wildcards):
    return ["datasets.{dataset}.subsets"] if subsets_of(wildcards) else []


def failures_of_steps(wildcards):
    """The failures of every step before the ranking, in order."""
    # A query whose proxies have no captions is ranked by the text as it was.
    left_out = {"proxies", "proxy_captions", "verify", *drawing(wildcards).unused}
    steps = ["datasets", *(step for step in SHARDED if step not in left_out)]
    own = paths.fill(paths.PROXY_FAILURES, generator=proxy_directory(wildcards))
    return [
        *expand(paths.STEP_FAILURES, step=steps, **wildcards),
        *where_drawn(own)(wildcards),
    ]


def scored_variants(wildcards):
    """The metrics of every backbone, baseline and variant."""
    known = {"baseline": CONFIG.baselines, "variant": variants_of_run(wildcards)}
    return of_backbones(paths.METRICS, **known)(wildcards)


def stopping_report(wildcards):
    """How many images each query has got; nothing where all are drawn."""
    if not dataset_of(wildcards).stopping:
        return []
    return of_metrics_split(paths.STOPPING, generator=proxy_directory(wildcards))(
        wildcards
    )


def results_settings(wildcards):
    """How intervals are drawn, and what the results were made with."""
    return canonical(
        {
            "seed": CONFIG.seed,
            "resamples": CONFIG.resamples,
            "stack": CONFIG.identity(wildcards.dataset),
        }
    )


def of_hidden_split(pattern):
    """Input function: ``pattern`` for the dataset's split without labels."""

    def paths(wildcards):
        if CONFIG.is_foreign(wildcards.dataset):
            raise WorkflowError(
                f"datasets.{wildcards.dataset}: what toy models make of real images is not submitted"
            )
        split = dataset_of(wildcards).hidden_split
        if split is None:
            raise WorkflowError(
                f"datasets.{wildcards.dataset} has no hidden_split: nothing to submit"
            )
        return pattern.format(split=split, **wildcards)

    return paths


def submission_inputs(**lists):
    """Input functions of a submission: the lists of the hidden split, its queries and its gallery."""
    return {
        **{name: of_hidden_split(lists[name]) for name in lists},
        "queries": of_hidden_split(paths.QUERIES),
        "gallery": of_hidden_split(paths.GALLERY),
    }
