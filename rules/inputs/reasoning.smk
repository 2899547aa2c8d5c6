"""Input functions of the steps that a language model works in: pictures, where their prompts show them."""

from ipcir_steps.imagine.llm.prompts import load_prompt


def sees(step, wildcards):
    """Whether the prompt of a step shows the reference picture."""
    try:
        return load_prompt(getattr(stack_of(wildcards), step).prompt).sees
    except InputError as error:
        raise WorkflowError(str(error))


def shown_references(step):
    """Input function: the list of reference pictures; nothing where the prompt shows none."""
    return lambda wildcards: (
        paths.REFERENCES.format(**wildcards) if sees(step, wildcards) else []
    )


def llm_options(step):
    """Options of a step: the root of the pictures only where the prompt shows them."""
    return lambda wildcards, input: options(
        input,
        root=dataset_root(wildcards) if sees(step, wildcards) else None,
        cache=paths.CACHE,
    )


def llm_keys(step):
    """What the rule takes from the configuration."""
    return lambda wildcards: [
        "seed",
        f"stack.{step}",
        *(["datasets.{dataset}.root"] if sees(step, wildcards) else []),
    ]
