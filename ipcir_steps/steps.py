"""Every command of ``ipcir`` as one card. A new step is its module and one line here."""

import dataclasses
import importlib
from types import ModuleType

from ipcir_steps.core import paths


@dataclasses.dataclass(frozen=True)
class Step:
    """One command.

    module: where ``arguments(parser)`` and ``main(args)`` are; imported only when the command is called.
    group: the heading under which ``ipcir --help`` lists it.
    network: it may use the network; every other command is refused it.
    listens: it answers requests: its module's ``listen(args)`` opens the sockets before the network is refused.
    recorded: it leaves a provenance record.
    gathered: it works on a part of the queries; its shards are gathered into this file, and so are its failures.
    timed: Snakemake's benchmark files of its jobs; the figure of costs sums them, in the order of the cards.
    wired: its module says what it reads, READS = {option: path}, and what it makes, MAKES = the path of ``--output``,
    as templates of ``core.paths``; it then needs no rule of its own. It runs in the environment of the analysis.
    """

    name: str
    help: str
    module: str
    group: str
    network: bool = False
    listens: bool = False
    recorded: bool = True
    gathered: str | None = None
    timed: tuple[str, ...] = ()
    wired: bool = False

    @property
    def times(self) -> tuple[str, ...]:
        """``timed``, and where a step has shards the files of the jobs that made those."""
        return (*((paths.fill(paths.DEVICE_TIMES, step=self.name),) if self.gathered else ()), *self.timed)

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


GROUPS = ("Everyday", "Imagine", "Seek", "Evaluate", "Provenance", "Running", "Mini world")


def _step(group: str, name: str, module: str, text: str, **more) -> Step:
    return Step(name, text, module if module.startswith("mini_world") else f"ipcir_steps.{module}", group, **more)


_ALL = (
    _step("Everyday", "index", "photos.index", "read a folder of photos, so that it can be searched", recorded=False),
    _step("Everyday", "search", "photos.search", "find photos by a picture and a few words", recorded=False),
    _step("Everyday", "serve", "photos.server", "search a folder of photos on a page, with sliders", listens=True,
          recorded=False),
    _step("Everyday", "results", "evaluate.results", "collect or --show metrics, intervals and published numbers"),
    _step("Everyday", "plan", "runtime.plan", "estimate what a configuration will cost, before anything runs",
          recorded=False),
    _step("Everyday", "doctor", "runtime.doctor", "verify a results tree; say how to rebuild what is damaged",
          recorded=False),
    _step("Everyday", "audit", "provenance.audit", "trace a figure or file to annotations, weights and code",
          recorded=False),
    _step("Everyday", "config", "config.command", "check a configuration; write its schema and defaults",
          recorded=False),
    _step("Imagine", "datasets", "benchmarks.datasets", "read annotations and images into queries and gallery",
          timed=(paths.DATASET_TIMES,)),
    _step("Imagine", "crops", "benchmarks.crops", "cut the objects of GeneCIS out of Visual Genome's images",
          recorded=False),
    _step("Imagine", "captions", "imagine.captions", "caption reference images with BLIP-2",
          gathered=paths.SOURCE_CAPTIONS),
    _step("Imagine", "reasoning", "imagine.reasoning", "write target captions with a language model",
          gathered=paths.TARGET_CAPTIONS),
    _step("Imagine", "layouts", "imagine.layouts", "plan the imagined image: scene and instances with boxes",
          gathered=paths.LAYOUTS),
    _step("Imagine", "masks", "imagine.masks", "segment the reference instances with Grounding DINO and SAM",
          gathered=paths.REFERENCE_MASKS),
    _step("Imagine", "statistics", "imagine.statistics", "measure the boxes of COCO's categories, for layouts"),
    _step("Imagine", "proxies", "imagine.proxies", "draw proxy images from layouts", gathered=paths.PROXY_INDEX,
          timed=(paths.ROUND_TIMES,)),
    _step("Imagine", "proxy_captions", "imagine.captions.proxies", "caption the proxies, to join a text side",
          gathered=paths.PROXY_CAPTIONS),
    _step("Imagine", "gather", "imagine.gather", "join the shards of a step in query order"),
    _step("Seek", "embeddings", "seek.embeddings", "encode images and captions with CLIP",
          timed=tuple(paths.fill(paths.FEATURES_TIMES, features=name) for name in paths.ENCODED)),
    _step("Seek", "baselines", "seek.baselines", "compute the text features (S_t): LDRE, SEARLE, LinCIR, …",
          timed=(paths.BASELINE_TIMES,)),
    _step("Seek", "fusion", "seek.fusion", "fuse proxy, query and perturbation into a robust proxy (eq. 1)",
          timed=(paths.FUSED_TIMES,)),
    _step("Seek", "stopping", "seek.stopping", "say which queries get another proxy, and join the rounds"),
    _step("Seek", "balance", "seek.balance", "weigh text and proxies of each query by itself, without labels"),
    _step("Seek", "ranking", "seek.ranking", "balance the similarities and rank the gallery (eq. 2)",
          timed=(paths.RANKING_TIMES,)),
    _step("Seek", "verify", "verify.command", "look at the first candidates of every list with a model",
          gathered=paths.JUDGEMENTS),
    _step("Seek", "rerank", "verify.rerank", "order the first candidates by ranking and judgement together"),
    _step("Evaluate", "metrics", "evaluate.metrics", "score rankings under a benchmark's protocol"),
    _step("Evaluate", "submission", "evaluate.submission", "write and check files for the benchmark servers"),
    _step("Evaluate", "mteb", "evaluate.mteb", "write a list as a prediction file of MTEB"),
    _step("Evaluate", "tune", "evaluate.tuning.command", "choose lambda and weights, with labels or without"),
    _step("Evaluate", "sensitivity", "evaluate.tuning.sensitivity", "vary lambda, weights and proxies of eq. 1"),
    _step("Evaluate", "costs", "runtime.plan.drawn", "count what the settings of a frontier cost"),
    _step("Evaluate", "frontier", "evaluate.frontier", "compare ways to draw the proxies: retrieval beside cost"),
    _step("Evaluate", "figures", "evaluate.reporting.figures", "draw the paper's figures and ours"),
    _step("Evaluate", "tables", "evaluate.reporting.tables", "write the paper's tables as Markdown, CSV and LaTeX"),
    _step("Evaluate", "browser", "evaluate.reporting.browser", "write a page that shows every query"),
    _step("Evaluate", "leaderboard", "evaluate.reporting.leaderboard",
          "write a page of the literature's results beside your own"),
    _step("Evaluate", "failures", "evaluate.failures", "collect the failures of all steps"),
    _step("Provenance", "crate", "provenance.crate", "export a run as a Workflow Run RO-Crate", recorded=False),
    _step("Running", "models", "runtime.models", "fetch models and record their digests", network=True),
    _step("Running", "containers", "runtime.containers", "build the steps' images; refuse stale ones", network=True,
          recorded=False),
    _step("Running", "devices", "runtime.leases", "run a command on a leased GPU; list the devices", network=True,
          recorded=False),
    _step("Mini world", "mini", "mini_world.cli", "render the mini world and build its models"),
)  # fmt: skip
STEPS = {step.name: step for step in _ALL}
SHARDED = [step.name for step in _ALL if step.gathered]
TIMED = [step.name for step in _ALL if step.times]
