"""Input functions of proxies that are drawn one after another, until a query's list has settled."""

from ipcir_steps.config import stopping


def must_stop(wildcards):
    """The setting. Refuses a path of rounds of a dataset that has none."""
    must_draw(wildcards)
    found = dataset_of(wildcards).stopping
    if not found:
        raise WorkflowError(
            f"datasets.{wildcards.dataset} has no stopping: its proxies are drawn all at once, without rounds"
        )
    return found


def sides_of(wildcards):
    """The backbone and the baseline whose lists decide."""
    must_stop(wildcards)
    backbone, baseline = stopping.sides(CONFIG, wildcards.dataset)
    return {"backbone": backbone, "baseline": baseline}


def deciding(pattern):
    """Input function: ``pattern`` of the backbone and baseline that decide."""
    return lambda wildcards: paths.fill(pattern, **sides_of(wildcards), **wildcards)


def rounds_of(wildcards):
    """All rounds of a dataset."""
    must_stop(wildcards)
    return range(1, stack_of(wildcards).proxies.count + 1)


def of_rounds(pattern):
    """Input function: ``pattern`` of every round."""
    return lambda wildcards: [
        paths.fill(pattern, round=number, **wildcards)
        for number in rounds_of(wildcards)
    ]


def rounds_before(wildcards):
    """The features of the rounds before one."""
    return [
        paths.fill(
            paths.ROUND_FEATURES,
            **{**wildcards, "round": number},
            **sides_of(wildcards),
        )
        for number in range(1, int(wildcards.round))
    ]


def state_before(wildcards):
    """The state that the round before was drawn by; nothing before the first."""
    number = int(wildcards.round) - 1
    return (
        [paths.fill(paths.ROUND_STATE, **{**wildcards, "round": number})]
        if number
        else []
    )


def last_state(wildcards):
    """The state that the last round was drawn by."""
    return paths.fill(paths.ROUND_STATE, round=rounds_of(wildcards)[-1], **wildcards)


def numbers_of_round(wildcards):
    """Which images of each query are drawn: that of the round; None, which is all, where there are no rounds."""
    number = getattr(wildcards, "round", None)
    return None if number is None else int(number) - 1


def of_this_round(pattern):
    """Input function: ``pattern`` of a round that there is."""

    def file(wildcards):
        if int(wildcards.round) not in rounds_of(wildcards):
            raise WorkflowError(f"{wildcards.dataset} has no round {wildcards.round}")
        return paths.fill(pattern, **wildcards)

    return file


def comparing_lambda(wildcards):
    """The choice of lambda on another dataset; a rule's own numbers are not there before the proxies."""
    return tuned_lambda(wildcards, **sides_of(wildcards))


def stopping_options(wildcards, input):
    dataset, backbone = dataset_of(wildcards), sides_of(wildcards)["backbone"]
    lam = None if dataset.tuned_on else dataset.lambda_of(backbone)
    return options(input, lambda_=lam, exclude_reference=dataset.exclude_reference)


def stopping_settings(wildcards):
    given = must_stop(wildcards).model_dump(
        mode="json", exclude={"backbone", "baseline"}
    )
    sections = CONFIG.model_dump(mode="json", include={"fusion", "ranking"})
    return canonical({**given, "count": stack_of(wildcards).proxies.count, **sections})


def stopping_keys(wildcards):
    """What deciding takes from the settings of the dataset."""
    names = ["stopping", "exclude_reference", "tuned_on"]
    names += [] if dataset_of(wildcards).tuned_on else ["lambda"]
    return [f"datasets.{{dataset}}.{name}" for name in names]
