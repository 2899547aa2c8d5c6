"""The shards of the long steps: which of them a job makes. A device has ``shards`` of them, in one process."""


def of_device(step):
    """The shards of a step that one job makes."""
    return shards_of_device(paths.fill(paths.SHARD, step=step))


def shards_of_device(pattern):
    return expand(
        pattern,
        shard=range(CONFIG.shards),
        allow_missing=True,
    )


def of_every_device(made):
    """Input function: all shards of a step, in the order of the queries. made: those of one device."""

    def shards(wildcards):
        dataset_of(wildcards)
        return expand(
            made,
            device=range(CONFIG.devices_of(wildcards.dataset)),
            **wildcards,
        )

    return shards


def numbers_of_device(wildcards):
    """Parameter: which parts of all queries the shards of a device are, as ``--shard`` takes them."""
    dataset_of(wildcards)
    first = int(wildcards.device) * CONFIG.shards
    total = CONFIG.devices_of(wildcards.dataset) * CONFIG.shards
    return [f"{first + number}/{total}" for number in range(CONFIG.shards)]
