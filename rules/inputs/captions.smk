"""The shards of the long steps: which of them a job works through. Each device has equally many, in one process."""

SHARDS_OF_DEVICE = -(-CONFIG.shards // CONFIG.devices)


def of_device(step):
    """The shards of a step that one job makes."""
    return expand(
        paths.fill(paths.SHARD, step=step),
        shard=range(SHARDS_OF_DEVICE),
        allow_missing=True,
    )


def of_every_device(step):
    """All shards of a step, in the order of the queries."""
    return expand(
        paths.fill(paths.SHARD, step=step),
        device=range(CONFIG.devices),
        shard=range(SHARDS_OF_DEVICE),
        allow_missing=True,
    )


def numbers_of_device(wildcards):
    """Parameter: which parts of all queries these shards are, as ``--shard`` takes them."""
    first = int(wildcards.device) * SHARDS_OF_DEVICE
    total = CONFIG.devices * SHARDS_OF_DEVICE
    return [f"{first + number}/{total}" for number in range(SHARDS_OF_DEVICE)]
