"""Where every artefact lies, below the directory that the workflow runs in.

Templates with the wildcards of the rules: ``LAYOUTS.format(dataset="cirr", split="val")`` is a path, ``fields`` goes
the other way. The rules, ``ipcir doctor``, ``ipcir plan``, ``ipcir audit`` and the figures all take them from here.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

RESULTS = "results"
SPLIT = f"{RESULTS}/{{dataset}}/{{split}}"

# What a benchmark's annotations become.
QUERIES = f"{SPLIT}/queries.jsonl"
GALLERY = f"{SPLIT}/gallery.jsonl"
REFERENCES = f"{SPLIT}/references.jsonl"
COVERAGE = f"{SPLIT}/coverage.json"

# What is imagined: shards of each step, those of a device made by one job, joined in query order.
SHARD = f"{SPLIT}/shards/{{step}}/{{device}}-{{shard}}.jsonl"
SOURCE_CAPTIONS = f"{SPLIT}/source_captions.jsonl"
TARGET_CAPTIONS = f"{SPLIT}/target_captions.jsonl"
LAYOUTS = f"{SPLIT}/layouts.jsonl"
REFERENCE_MASKS = f"{SPLIT}/reference_masks.jsonl"
PROXY_IMAGES = f"{SPLIT}/proxies/{{generator}}"
PROXY_INDEX = f"{PROXY_IMAGES}/index.jsonl"
PROXY_CAPTIONS = f"{SPLIT}/proxy_captions.jsonl"  # where they join a text side (proxy_captions.joined)
STEP_FAILURES = f"{SPLIT}/{{step}}.failures.jsonl"
PROXY_FAILURES = f"{PROXY_IMAGES}/proxies.failures.jsonl"
FAILURES = f"{SPLIT}/failures.jsonl"

# The same queries drawn with other settings (frontier.settings).
DRAWN = f"{SPLIT}/frontier/{{setting}}"
DRAWN_SHARD = f"{DRAWN}/shards/{{device}}-{{shard}}.jsonl"
DRAWN_INDEX = f"{DRAWN}/index.jsonl"  # its images lie beside it
DRAWN_FAILURES = f"{DRAWN}/proxies.failures.jsonl"
DRAWN_FEATURES = f"{DRAWN}/features/{{backbone}}.safetensors"

# Proxies drawn one after another (datasets.NAME.stopping): round n draws the n-th image of the queries that are open.
ROUND = f"{SPLIT}/rounds/{{round}}"
ROUND_QUERIES = f"{ROUND}/queries.jsonl"
ROUND_STATE = f"{ROUND}/state.jsonl"  # of all queries, before the round
ROUND_SHARD = f"{ROUND}/shards/{{device}}-{{shard}}.jsonl"
ROUND_INDEX = f"{ROUND}/index.jsonl"
ROUND_FAILURES = f"{ROUND}/proxies.failures.jsonl"
ROUND_FEATURES = f"{ROUND}/features/{{backbone}}.safetensors"
STOPPING = f"{PROXY_IMAGES}/stopping.jsonl"  # how many images each query has got, and why no more

# What is sought with: features of one backbone.
BACKBONE = f"{SPLIT}/{{backbone}}"
FEATURES = f"{BACKBONE}/{{features}}.safetensors"
# Those that there are.
ENCODED = ("gallery", "references", "source_captions", "target_captions", "proxies", "proxy_captions")
GALLERY_FEATURES = f"{BACKBONE}/gallery.safetensors"
REFERENCE_FEATURES = f"{BACKBONE}/references.safetensors"
SOURCE_CAPTION_FEATURES = f"{BACKBONE}/source_captions.safetensors"
TARGET_CAPTION_FEATURES = f"{BACKBONE}/target_captions.safetensors"
PROXY_FEATURES = f"{BACKBONE}/proxies.safetensors"
PROXY_CAPTION_FEATURES = f"{BACKBONE}/proxy_captions.safetensors"
FUSED = f"{BACKBONE}/fusion/{{proxy}}.safetensors"

# What is found: everything of one backbone and baseline.
BASELINE = f"{BACKBONE}/{{baseline}}"
TEXT = f"{BASELINE}/text.safetensors"
LAMBDA = f"{BASELINE}/lambda.json"
BALANCE = f"{BASELINE}/balance.json"
BALANCED = f"{BASELINE}/balanced/{{proxy}}.safetensors"
RANKINGS = f"{BASELINE}/{{variant}}.rankings.parquet"
SUBSET = f"{BASELINE}/{{variant}}.subset.parquet"
METRICS = f"{BASELINE}/{{variant}}.metrics.json"
SENSITIVITY = f"{BASELINE}/sensitivity.json"

# What a judge believes of what either side alone finds, for the rule that balances by it.
SIDE_RANKINGS = f"{BASELINE}/sides/{{variant}}.rankings.parquet"
SIDE_SUBSET = f"{BASELINE}/sides/{{variant}}.subset.parquet"
SIDE_JUDGEMENTS = f"{SPLIT}/side_judgements.jsonl"

# What was verified: the judgements of all lists, and lists made with the lambda that was chosen on them.
JUDGEMENTS = f"{SPLIT}/judgements.jsonl"
TUNED_RANKINGS = f"{BASELINE}/tuned/{{variant}}.rankings.parquet"
TUNED_SUBSET = f"{BASELINE}/tuned/{{variant}}.subset.parquet"
VERIFY_CHOICE = f"{BASELINE}/verify.json"

# What is reported.
RESULT = f"{RESULTS}/{{dataset}}_metrics.json"
FIGURES, TABLES = f"{RESULTS}/figures", f"{RESULTS}/tables"
FIGURE = f"{FIGURES}/{{figure}}.{{suffix}}"
QUERY_FIGURE = f"{FIGURES}/{{dataset}}/{{figure}}.{{suffix}}"
TABLE = f"{TABLES}/table{{number}}.{{suffix}}"
LEADERBOARD = f"{TABLES}/leaderboard.{{suffix}}"
BROWSER = f"{RESULTS}/browser/{{dataset}}"
FRONTIER = f"{RESULTS}/frontier/{{dataset}}/{{backbone}}/{{baseline}}.json"
FRONTIER_FIGURE = f"{RESULTS}/frontier/{{dataset}}/{{backbone}}/{{baseline}}.{{suffix}}"
FRONTIER_PAGE = f"{RESULTS}/frontier/{{dataset}}/{{backbone}}/{{baseline}}.html"
FRONTIER_TABLE = f"{RESULTS}/frontier/{{dataset}}/{{backbone}}/{{baseline}}.md"
SUBMISSION = f"{RESULTS}/submissions/{{dataset}}/{{backbone}}/{{baseline}}/{{variant}}.json"
RECALL_SUBMISSION = f"{RESULTS}/submissions/{{dataset}}/{{backbone}}/{{baseline}}/{{variant}}.recall.json"
SUBSET_SUBMISSION = f"{RESULTS}/submissions/{{dataset}}/{{backbone}}/{{baseline}}/{{variant}}.recall_subset.json"

# What the steps need.
MANIFESTS = "resources/manifests"
MANIFEST = f"{MANIFESTS}/{{stack}}/{{role}}.json"
CLIP_MANIFEST = f"{MANIFESTS}/{{stack}}/clip/{{backbone}}.json"
MAPPING_MANIFEST = f"{MANIFESTS}/{{stack}}/mappings/{{baseline}}/{{backbone}}.json"
MODELS = "resources/models"  # one directory per source and revision, shared by the stacks
CACHE = "resources/cache"
INSTANCES = "data/COCO/annotations/instances_train2017.json"  # put there by hand
STATISTICS = "data/models/coco_box_statistics.json"  # made of them

# What the run leaves beside the artefacts: records, and Snakemake's times and logs of each job.
RECORDS = "provenance"
TIMES = "benchmarks/results"
LOGS = "logs"
DATASET_TIMES = f"{TIMES}/{{dataset}}/{{split}}/datasets.tsv"
DEVICE_TIMES = f"{TIMES}/{{dataset}}/{{split}}/{{step}}/{{device}}.tsv"
ROUND_TIMES = f"{TIMES}/{{dataset}}/{{split}}/rounds/{{round}}/proxies/{{device}}.tsv"
DRAWN_TIMES = f"{TIMES}/{{dataset}}/{{split}}/frontier/{{setting}}/{{device}}.tsv"
DRAWN_COSTS = f"{TIMES}/frontier/{{dataset}}.json"  # operations and measured seconds
FEATURES_TIMES = f"{TIMES}/{{dataset}}/{{split}}/{{backbone}}/{{features}}.tsv"
FUSED_TIMES = f"{TIMES}/{{dataset}}/{{split}}/{{backbone}}/fusion/{{proxy}}.tsv"
BASELINE_TIMES = f"{TIMES}/{{dataset}}/{{split}}/{{backbone}}/{{baseline}}/baseline.tsv"
RANKING_TIMES = f"{TIMES}/{{dataset}}/{{split}}/{{backbone}}/{{baseline}}/ranking.tsv"


@dataclasses.dataclass(frozen=True)
class Place:
    """The artefacts beside one: its wildcards' values, below ``directory``."""

    directory: Path
    values: dict[str, str]

    @classmethod
    def of(cls, template: str, path: Path, directory: Path) -> "Place | None":
        """The place of a file below ``directory``, when ``template`` names it."""
        values = fields(template, path.relative_to(directory))
        return values and cls(directory, values)

    def path(self, template: str, **more: str) -> Path:
        """The artefact of the same dataset, split, …; more: wildcards that this place has not, or has otherwise."""
        return self.directory / template.format(**{**self.values, **more})

    def found(self, template: str, **more: str) -> "list[Path]":
        """Those that are there, whatever the wildcards that this place has not."""
        return [path for path, _ in found(template, self.directory, **{**self.values, **more})]


def stem(template: str) -> str:
    """Where the log and the times of what makes a file lie, below their directories, without a suffix.

    >>> stem(LAYOUTS)
    '{dataset}/{split}/layouts'
    """
    return template.removeprefix(f"{RESULTS}/").rpartition(".")[0]


def fill(template: str, **known: object) -> str:
    """The template with some of its wildcards filled in; the others stay.

    >>> fill(PROXY_INDEX, generator="migc")
    'results/{dataset}/{split}/proxies/migc/index.jsonl'
    """
    return re.sub(r"\{(\w+)\}", lambda found: str(known.get(found[1], found[0])), template)


def fields(template: str, path: str | Path) -> dict[str, str] | None:
    """The values of the wildcards in a path that ends like ``template``; None when it does not. No value has a "/".

    >>> fields(SENSITIVITY, "/runs/a/results/cirr/val/ViT-L-14/ldre/sensitivity.json")
    {'dataset': 'cirr', 'split': 'val', 'backbone': 'ViT-L-14', 'baseline': 'ldre'}
    >>> fields(SENSITIVITY, "results/cirr/val/layouts.jsonl")
    """
    found = _pattern(template).fullmatch(Path(path).as_posix())
    return found and found.groupdict()


def found(template: str, directory: str | Path = ".", **known: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """(path, values of the wildcards) of the files below ``directory`` that a template names, sorted by path.

    known: wildcards whose value is given.
    """
    template = fill(template, **known)
    for path in sorted(Path(directory).glob(re.sub(r"\{\w+\}", "*", template))):
        values = fields(template, path.relative_to(directory))
        if values is not None:
            yield path, {**known, **values}


@functools.cache
def _pattern(template: str) -> re.Pattern:
    parts = re.split(r"\{(\w+)\}", template)
    seen: set[str] = set()
    text = re.escape(parts[0])
    for name, after in zip(parts[1::2], parts[2::2], strict=True):
        text += (rf"(?P={name})" if name in seen else rf"(?P<{name}>[^/]+?)") + re.escape(after)
        seen.add(name)
    return re.compile(rf"(?:.*/)?{text}")
