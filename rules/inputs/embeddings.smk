"""Input functions of the embeddings."""

ARCHITECTURE = ["stack.clip.{backbone}.architecture", "stack.embeddings.architecture"]


def architecture_of(wildcards):
    """The architecture of a backbone that is one weights file; None where its directory says it."""
    stack = stack_of(wildcards)
    if wildcards.backbone not in stack.clip:
        name = dataset_of(wildcards).stack
        raise WorkflowError(
            f"config.yaml: stack '{name}' has no backbone '{wildcards.backbone}' under clip"
        )
    return stack.clip[wildcards.backbone].architecture or stack.embeddings.architecture


def embedding_settings(wildcards):
    """The embeddings section, with the architecture of a backbone that is one weights file."""
    update = {"architecture": architecture_of(wildcards)}
    return canonical(
        stack_of(wildcards).embeddings.model_copy(update=update).model_dump(mode="json")
    )
