"""Input functions of the embeddings."""


def architecture_of(wildcards):
    """The architecture of a backbone that is one weights file; None where its directory says it."""
    return (
        CONFIG.clip[wildcards.backbone].architecture or CONFIG.embeddings.architecture
    )


def embedding_settings(wildcards):
    """The embeddings section, with the architecture of a backbone that is one weights file."""
    update = {"architecture": architecture_of(wildcards)}
    return canonical(
        CONFIG.embeddings.model_copy(update=update).model_dump(mode="json")
    )
