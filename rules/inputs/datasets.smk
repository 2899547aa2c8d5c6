"""Input functions of the datasets."""

from ipcir_steps.benchmarks.folder import queries_file


def dataset_source(wildcards):
    """What must exist before a dataset can be read: the rendered mini world, or the CSV of a folder."""
    dataset = dataset_of(wildcards)
    if dataset.root.startswith(f"{MINI}/"):
        return f"{MINI}/{Path(dataset.root).relative_to(MINI).parts[0]}"
    if dataset.benchmark != "folder":
        return []
    queries = queries_file(dataset)
    return [queries] if queries.is_file() else []  # else the preflight names it


def source_keys(wildcards):
    """The settings that reading depends on, those that are there."""
    return [
        f"datasets.{{dataset}}.{key}"
        for key in dataset_of(wildcards).source.model_dump()
    ]


def dataset_settings(wildcards):
    return canonical(dataset_of(wildcards).source.model_dump(mode="json"))


def dataset_reports():
    """Coverage reports of every split of the configured datasets."""
    splits = [
        (name, split)
        for name in CONFIG.run
        for split in (CONFIG.datasets[name].split, CONFIG.datasets[name].hidden_split)
        if split
    ]
    return [paths.COVERAGE.format(dataset=name, split=split) for name, split in splits]
