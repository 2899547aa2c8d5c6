"""Figures of ``ipcir index``, ``ipcir search`` and ``ipcir serve``; docs/photos.md has them.

    python dev/benchmarks/photos.py index --photos FOLDER     # throughput beside the bare encoder; one more photo
    python dev/benchmarks/photos.py sliders --count 100000    # synthetic features, 768 dimensions
    python dev/benchmarks/photos.py search                    # the first answer on 10,000 pictures
    python dev/benchmarks/photos.py encoder --model DIR --photos FOLDER    # int8 beside torch; one tower beside two

Each prints one JSON object. The models are those of the mini world, below resources/mini/models (``make demo``).
"""

import argparse
import json
import os
import resource
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: as ``ipcir serve`` does

import numpy as np
import torch

DIMS, PROXIES, CAPTIONS, K = 768, 5, 15, 50


def milliseconds(work, times: int) -> dict:
    """Of ``times`` calls ``work(n)``, in ms: median and 95th percentile of the time on the wall, and the latter of the
    processors' time, which other programs of a busy machine hardly change."""
    taken, busy = [], []
    for number in range(times):
        started, before = time.perf_counter(), time.process_time()
        work(number)
        busy.append(1000 * (time.process_time() - before))
        taken.append(1000 * (time.perf_counter() - started))
    p95, cpu = (round(float(np.percentile(values, 95)), 2) for values in (taken, busy))
    return {"median": round(statistics.median(taken), 2), "p95": p95, "p95_cpu": cpu}


def mini():
    from ipcir_steps.photos.models import Models
    from ipcir_steps.photos.stack import stack

    models = Models(stack("mini"))
    models.encoder("image")
    return models


def index(args: argparse.Namespace) -> dict:
    """Rounds of the bare encoder (decode, preprocess, encode, nothing kept) and of the index, by turns."""
    from ipcir_steps.photos.index import update
    from ipcir_steps.photos.pictures import opened, prepare
    from ipcir_steps.seek.embeddings.stream import prepared

    prepare()
    models, rates, busy = mini(), {"bare": [], "index": []}, {"bare": [], "index": []}
    encoder, settings = models.encoder("image"), models.stack.config.embeddings
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "photos"
        folder.mkdir()
        sources = sorted(path for path in args.photos.iterdir() if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
        for number in range(args.count):  # a JPEG may end in anything: other bytes, the same picture
            content = sources[number % len(sources)].read_bytes() + str(number).encode()
            (folder / f"{number}.jpg").write_bytes(content)
        paths = sorted(folder.iterdir())
        for turn in range(args.rounds):
            started, before = time.perf_counter(), time.process_time()
            batches = prepared(
                paths, lambda path: encoder.transform(opened(path)), settings.batch_size, settings.workers
            )
            for batch in batches:
                encoder.pixels(torch.stack(batch))
            rates["bare"].append(len(paths) / (time.perf_counter() - started))
            busy["bare"].append(time.process_time() - before)
            started, before = time.perf_counter(), time.process_time()
            update(folder, Path(work) / f"index{turn}", models, settings, progress=False)
            rates["index"].append(len(paths) / (time.perf_counter() - started))
            busy["index"].append(time.process_time() - before)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        return {
            "photos": len(paths),
            **{f"{name}_photos_per_second": round(value, 1) for name, value in medians.items()},
            "share": round(medians["index"] / medians["bare"], 3),
            "shares": [round(one / other, 3) for one, other in zip(rates["index"], rates["bare"], strict=True)],
            # The processors' time, which other programs of a busy machine hardly change.
            "share_cpu": round(statistics.median(busy["bare"]) / statistics.median(busy["index"]), 3),
            "one_more": one_more(models),
        }


def one_more(models, count: int = 10_000) -> dict:
    """Seconds and files read for one more picture beside ``count``."""
    import PIL.Image

    from ipcir_steps.photos.index import update

    with tempfile.TemporaryDirectory() as work:
        folder = pictures(Path(work), count)
        update(folder, Path(work) / "index", models, progress=False)
        PIL.Image.new("RGB", (64, 64), "red").save(folder / "one-more.png")
        started = time.perf_counter()
        changes, _ = update(folder, Path(work) / "index", models, progress=False)
        return {"beside": count, "read": changes.read, "seconds": round(time.perf_counter() - started, 2)}


def pictures(work: Path, count: int) -> Path:
    import PIL.Image

    folder, rng = work / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        small = PIL.Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))
        small.resize((64, 64)).save(folder / f"{number:06}.png")
    return folder


def search(args: argparse.Namespace) -> dict:
    """Seconds of a first answer on an index of 10,000, without and with the time to load the model."""
    from ipcir_steps.photos.finder import Finder, Limits
    from ipcir_steps.photos.index import update
    from ipcir_steps.photos.models import Models
    from ipcir_steps.photos.question import Question
    from ipcir_steps.photos.terms import parse

    with tempfile.TemporaryDirectory() as work:
        folder, models = pictures(Path(work), args.count), mini()
        update(folder, Path(work) / "index", models, progress=False)
        fresh, out = Models(models.stack), {"photos": args.count}
        started = time.perf_counter()
        fresh.encoder("text")
        out["load_seconds"] = round(time.perf_counter() - started, 2)
        started = time.perf_counter()
        finder = Finder(folder, Path(work) / "index", fresh)
        finder.find(Question((finder.reference(folder / "000007.png"),), parse("red -blue")), Limits(20))
        return {**out, "first_answer_seconds": round(time.perf_counter() - started, 3)}


def encoder(args: argparse.Namespace) -> dict:
    """Of each tower: seconds to load it alone and both, inputs a second in torch (in batches of 16) and in int8 by
    turns, and the least cosine between them. The export of int8, which happens once, comes before."""
    from ipcir_steps.config.vision import Embeddings
    from ipcir_steps.photos.pictures import opened
    from ipcir_steps.seek.embeddings.clip import load_encoder
    from ipcir_steps.seek.embeddings.towers import TOWERS

    def loaded(kind: str, towers):
        started = time.perf_counter()
        return load_encoder(args.model, Embeddings(encoder=kind, device="cpu", dtype="float32"), towers), round(
            time.perf_counter() - started, 2
        )

    loaded("int8", TOWERS)
    out = {"threads": torch.get_num_threads()}
    for kind in ("torch", "int8"):
        out[f"{kind}_load_both_seconds"] = loaded(kind, TOWERS)[1]
    for tower in TOWERS:
        found = {kind: loaded(kind, (tower,)) for kind in ("torch", "int8")}
        if tower == "image":
            paths = sorted(path for path in args.photos.iterdir() if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
            items = [found["torch"][0].transform(opened(path)) for path in paths[:64]]
        else:
            items = [f"a photo of {number} dogs in the snow" for number in range(64)]
        rates, features = {"torch": [], "int8": []}, {}
        for _ in range(args.rounds):
            for kind, (model, _) in found.items():
                ask = (lambda batch: model.pixels(torch.stack(batch))) if tower == "image" else model.texts  # noqa: B023
                started = time.perf_counter()
                features[kind] = torch.cat([ask(items[start : start + 16]) for start in range(0, len(items), 16)])
                rates[kind].append(len(items) / (time.perf_counter() - started))
        out[tower] = {
            **{f"{kind}_load_seconds": seconds for kind, (_, seconds) in found.items()},
            **{f"{kind}_per_second": round(statistics.median(values), 1) for kind, values in rates.items()},
            "least_cosine": round(torch.cosine_similarity(features["torch"], features["int8"]).min().item(), 4),
        }
    return out


def synthetic(directory: Path, count: int) -> None:
    """An index of ``count`` photos that do not exist, with random features of 768 dimensions."""
    from ipcir_steps.photos.store import Store

    generator, block = np.random.default_rng(0), 50_000
    with Store(directory, directory.parent) as store:
        store.begin({"digest": "synthetic"}, DIMS)
        for start in range(0, count, block):
            names = [f"{number:08}.jpg" for number in range(start, min(count, start + block))]
            values = generator.standard_normal((len(names), DIMS), np.float32)
            records = [{"name": n, "size": 1, "changed": 1, "digest": n, "width": 1, "height": 1, "taken": None,
                        "fingerprint": 0} for n in names]  # fmt: skip
            store.put(records, dict(zip(names, values, strict=True)))


class Imagined:
    """What an imagination leaves for the sliders, of random features."""

    def __init__(self, finder, question):
        generator = torch.Generator().manual_seed(1)

        def random(*shape):
            return torch.randn(*shape, generator=generator)

        from ipcir_steps.photos.imagine import Drawn

        self.finder, self.question, self.query, self.seed = finder, question, question.query, 0
        self.reference, _ = question.main
        self.source = self.target = ["caption"] * CAPTIONS
        self.source_features, self.target_features = random(CAPTIONS, DIMS), random(CAPTIONS, DIMS)
        self.proxies = [Drawn(Path("none"), random(DIMS)) for _ in range(PROXIES)]
        self.texts: dict = {}


def sliders(args: argparse.Namespace) -> dict:
    """At the server: a slider, with and without HTTP; a new vector; the product that a slider would cost without the
    parts; the most memory the process took, which the product's own float32 matrix is not part of."""
    import httpx
    import uvicorn

    from ipcir_steps.photos.finder import Finder
    from ipcir_steps.photos.gallery import Gallery
    from ipcir_steps.photos.question import Question, Reference
    from ipcir_steps.photos.server.answers import answered
    from ipcir_steps.photos.server.app import application
    from ipcir_steps.photos.server.requests import Asked
    from ipcir_steps.photos.server.state import State
    from ipcir_steps.photos.terms import Term

    with tempfile.TemporaryDirectory() as work:
        directory, out = Path(work) / "index", {"photos": args.count, "dims": DIMS, "threads": torch.get_num_threads()}
        synthetic(directory, args.count)
        finder, models = object.__new__(Finder), mini()
        finder.folder, finder.directory, finder.models = Path(work), directory, models
        started = time.perf_counter()
        finder.open(Gallery(directory))
        out["open_seconds"] = round(time.perf_counter() - started, 2)
        state = State(finder, 0, 1e9)
        question = Question((Reference(finder.gallery.photo(3).name, Path(work), 3),), (Term("x"),))
        key = "0" * 24
        state.imagined[key] = Imagined(finder, question)

        def asked(number: int) -> dict:
            weights = [1 + 0.01 * (number % 97), 1 + 0.02 * (number % 89), 1.0]
            sliders = {"key": key, "weights": weights, "lambda": (number % 101) / 100}
            return {"references": [{"line": 3}], "text": "x", "limits": {"k": K}, "base": False, "imagined": sliders}

        answered(state, Asked.model_validate(asked(0)))
        out["slider_ms"] = milliseconds(lambda n: answered(state, Asked.model_validate(asked(n))), args.times)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(application(state, "127.0.0.1", port, None), port=port, log_level="error")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            out["slider_http_ms"] = milliseconds(lambda n: client.post("/api/search", json=asked(n)), args.times)
        server.should_exit = True
        thread.join()
        state.close()
        vectors = torch.randn(64, DIMS)
        out["new_vector_ms"] = milliseconds(lambda n: finder.similar.of(vectors[n][None]), 20)
        out["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        gallery = torch.nn.functional.normalize(torch.from_numpy(np.asarray(finder.gallery.values)))

        def product(number: int) -> None:
            (gallery @ vectors[number % 64]).topk(K)

        out["product_ms"] = milliseconds(product, min(args.times, 50))
        return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("index")
    one.add_argument("--photos", type=Path, required=True)
    one.add_argument("--count", type=int, default=640)
    one.add_argument("--rounds", type=int, default=5)
    two = commands.add_parser("sliders")
    two.add_argument("--count", type=int, default=100_000)
    two.add_argument("--times", type=int, default=300)
    three = commands.add_parser("search")
    three.add_argument("--count", type=int, default=10_000)
    four = commands.add_parser("encoder")
    four.add_argument("--model", type=Path, required=True, help="directory of an open_clip model")
    four.add_argument("--photos", type=Path, required=True)
    four.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps({"index": index, "sliders": sliders, "search": search, "encoder": encoder}[given.command](given)))
