"""The shards of the long steps: which of them a job makes. A device has ``shards`` of them, in one process."""


def of_device(step):
    """The shards of a step that one job makes."""
    return expand(
        paths.fill(paths.SHARD, step=step),
        shard=range(CONFIG.shards),
        allow_missing=True,
    )


def of_every_device(step):
    """Input function: all shards of a step, in the order of the queries."""

    def shards(wildcards):
        dataset_of(wildcards)
        return expand(
            of_device(step),
            dataset=wildcards.dataset,
            split=wildcards.split,
            device=range(CONFIG.devices_of(wildcards.dataset)),
        )

    return shards


def numbers_of_device(wildcards):
    """Parameter: which parts of all queries the shards of a device are, as ``--shard`` takes them."""
    dataset_of(wildcards)
    first = int(wildcards.device) * CONFIG.shards
    total = CONFIG.devices_of(wildcards.dataset) * CONFIG.shards
    return [f"{first + number}/{total}" for number in range(CONFIG.shards)]
