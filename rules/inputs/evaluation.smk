"""Input functions of the evaluation."""


def of_hidden_split(pattern):
    """Input function: ``pattern`` for the dataset's split without labels."""

    def paths(wildcards):
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
