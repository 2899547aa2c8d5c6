"""Figures that show queries: first and first five places (figs. 3, 4), ablation (fig. 6), layouts, failures."""

from ipcir_steps.evaluate.reporting import examples
from ipcir_steps.evaluate.reporting.examples import Collection, Example
from ipcir_steps.evaluate.reporting.figures import cards, style
from ipcir_steps.evaluate.reporting.figures.pictures import boxes, grid, picture, words
from ipcir_steps.variants import BASE, LADDER, METHOD, VARIANTS


def place(example: Example, variant: str, length: int = 50) -> str:
    """Where the target stands, as a title."""
    rank = example.rank(variant)
    return f"target at {rank}" if rank else f"target below {len(example.lists.get(variant, ())) or length}"


def _hit(example: Example, name: str) -> bool:
    return name in (example.query.targets or ())


def _first(collection: Collection, example: Example, variant: str):
    """(picture, whether it is a target) of the first place."""
    names = example.lists.get(variant, ())[:1]
    return (collection.paths.get(names[0]), _hit(example, names[0])) if names else (None, None)


def _target(collection: Collection, example: Example):
    targets = example.query.targets or ()
    return collection.paths.get(targets[0]) if targets else None


def _one_place(collection: Collection, chosen: list[Example], title: str, remark: str):
    plt = style.start()
    ratios = [1, 1.5, 1, 1, 1, 1]
    figure, axes = grid(plt, max(1, len(chosen)), 6, ratios)
    heads = ("reference", "", "a proxy", VARIANTS[BASE].label, VARIANTS[METHOD].label, "target")
    if not chosen:
        _nothing(axes, "no such query")
    for row, (line, example) in enumerate(zip(axes, chosen, strict=False)):
        head = heads if row == 0 else ("",) * 6
        picture(line[0], collection.paths.get(example.query.reference), head[0])
        words(line[1], example.query.caption)
        picture(line[2], example.proxies[0] if example.proxies else None, head[2])
        for cell, variant, name in ((line[3], BASE, head[3]), (line[4], METHOD, head[4])):
            path, hit = _first(collection, example, variant)
            picture(cell, path, "\n".join(filter(None, (name, place(example, variant)))), hit)
        picture(line[5], _target(collection, example), head[5])
    figure.suptitle(title)
    style.note(figure, remark)
    return figure


def _nothing(axes, text: str) -> None:
    """A figure without queries says so."""
    for cell in axes.flat:
        cell.set_axis_off()
    words(axes[0][0], text)


@cards.figure(
    "fig3",
    of="queries",
    caption="First place of base and IP-CIR for the queries that gain most (chosen for that; see ``failures``).",
)
def top_one(collection: Collection, count: int, dataset: str, top: int = 1):
    """Fig. 3: the first place of base and IP-CIR, for the queries whose target IP-CIR lifts most."""
    chosen = examples.won(collection.examples, count)
    return _one_place(collection, chosen, f"{dataset}: first place", _selected(len(collection.examples)))


@cards.figure("failures", of="queries", caption="The queries whose target IP-CIR lowers most.")
def failures(collection: Collection, count: int, dataset: str, top: int = 1):
    """What goes wrong: queries without a target in the first place, and how many queries failed in which step."""
    chosen = examples.lost(collection.examples, count)
    failed: dict[str, int] = {}
    for example in collection.examples:
        if example.failure:
            step = example.failure.partition(":")[0]
            failed[step] = failed.get(step, 0) + 1
    steps = ", ".join(f"{number} in {step}" for step, number in sorted(failed.items())) or "no query failed in a step"
    total = len(collection.examples)
    missed = len(examples.lost(collection.examples, total))
    remark = (
        f"Chosen: of the {missed} queries of {total} without a target in IP-CIR's first place, those it lowers most, "
        f"then those that both miss. ✓ a target, ✗ another image. {steps[0].upper()}{steps[1:]}."
    )
    return _one_place(collection, chosen, f"{dataset}: what goes wrong", remark)


def _selected(total: int) -> str:
    return f"Chosen: of {total} queries, those whose target IP-CIR lifts most. ✓ a target, ✗ another image."


@cards.figure(
    "fig4",
    of="queries",
    caption="First places of base and IP-CIR for the queries that gain most (chosen for that).",
)
def top_five(collection: Collection, count: int, dataset: str, top: int = 5):
    """Fig. 4: the first ``top`` places of base (upper row) and IP-CIR (lower row)."""
    plt = style.start()
    chosen = examples.won(collection.examples, count)
    figure, axes = grid(plt, 2 * len(chosen), 3 + top, [1, 1, 0.5, *[1] * top], side=0.85)
    for number, example in enumerate(chosen):
        upper, lower = axes[2 * number], axes[2 * number + 1]
        picture(upper[0], collection.paths.get(example.query.reference), "reference" if number == 0 else "")
        picture(upper[1], _target(collection, example), "target" if number == 0 else "")
        words(lower[0], example.query.caption, width=16, size=7, lines=6)
        picture(lower[1], example.proxies[0] if example.proxies else None, "a proxy" if number == 0 else "")
        for line, variant in ((upper, BASE), (lower, METHOD)):
            words(line[2], VARIANTS[variant].label, width=8)
            names = example.lists.get(variant, ())[:top]
            for place_, cell in enumerate(line[3:], 1):
                found = names[place_ - 1] if place_ <= len(names) else None
                title = str(place_) if number == 0 and variant == BASE else ""
                picture(cell, collection.paths.get(found), title, _hit(example, found) if found else None)
    figure.suptitle(f"{dataset}: first {top} places")
    style.note(figure, _selected(len(collection.examples)))
    return figure


@cards.figure(
    "fig6",
    of="queries",
    caption="First place as the parts are added: base, plain proxies, robust proxy, balance.",
)
def ablation(collection: Collection, count: int, dataset: str, top: int = 1):
    """Fig. 6: the first place as the parts are added: base, plain proxies, robust proxy, balanced."""
    plt = style.start()
    chosen = examples.told(collection.examples, count)
    steps = [variant for variant in LADDER if any(variant in example.lists for example in collection.examples)]
    figure, axes = grid(plt, max(1, len(chosen)), 4 + len(steps), [1, 1.5, 1, *[1] * len(steps), 1])
    if not chosen:
        _nothing(axes, "no such query")
    for row, (line, example) in enumerate(zip(axes, chosen, strict=False)):
        picture(line[0], collection.paths.get(example.query.reference), "reference" if row == 0 else "")
        words(line[1], example.query.caption)
        picture(line[2], example.proxies[0] if example.proxies else None, "a proxy" if row == 0 else "")
        for cell, variant in zip(line[3:-1], steps, strict=True):
            path, hit = _first(collection, example, variant)
            head = VARIANTS[variant].label if row == 0 else ""
            picture(cell, path, "\n".join(filter(None, (head, place(example, variant)))), hit)
        picture(line[-1], _target(collection, example), "target" if row == 0 else "")
    figure.suptitle(f"{dataset}: first place as parts are added")
    style.note(figure, "Chosen: where IP-CIR ends on a target that base misses. ✓ a target, ✗ another image.")
    return figure


@cards.figure(
    "layouts",
    of="queries",
    caption="Layouts drawn on their proxies; dashed boxes are drawn like the reference image.",
)
def layouts(collection: Collection, count: int, dataset: str, top: int = 3):
    """Layouts drawn on their proxies: numbered boxes, described beside them."""
    from PIL import Image

    plt = style.start()
    drawn = [example for example in collection.examples if example.layout and example.proxies]
    chosen = examples.won(drawn, count)
    shown = min(top, max((len(example.proxies) for example in chosen), default=1), 3)
    figure, axes = grid(plt, max(1, len(chosen)), 3 + shown, [1, 1.4, *[1] * shown, 2.2])
    for row, (line, example) in enumerate(zip(axes, chosen, strict=False)):
        picture(line[0], collection.paths.get(example.query.reference), "reference" if row == 0 else "")
        words(line[1], example.query.caption)
        for number, cell in enumerate(line[2:-1]):
            path = example.proxies[number] if number < len(example.proxies) else None
            picture(cell, path, f"proxy {number + 1}" if row == 0 else "")
            if path is not None and path.is_file():
                with Image.open(path) as image:
                    boxes(cell, example.layout, *image.size)
        described = [f"{n} {instance['description']}" for n, instance in enumerate(example.layout["instances"], 1)]
        words(line[-1], "; ".join([*described, f"scene: {example.layout['scene']}"]), width=40, size=6.5)
    if not chosen:
        _nothing(axes, "no query has both a layout and proxies")
    figure.suptitle(f"{dataset}: layouts on their proxies")
    style.note(figure, "Solid box: drawn from text. Dashed box: drawn like the reference image.")
    return figure
