"""The whole method on one query: what is given, what is imagined, what is found without it and with it."""

from ipcir_steps.evaluate.reporting import examples
from ipcir_steps.evaluate.reporting.examples import Collection, Example
from ipcir_steps.evaluate.reporting.figures import cards, style
from ipcir_steps.evaluate.reporting.figures.pictures import boxes, picture, words
from ipcir_steps.evaluate.reporting.figures.queries import place
from ipcir_steps.variants import BASE, METHOD, VARIANTS

CELLS = 9  # in a row
SHOWN = 5  # proxies, and ranked images of each list


@cards.figure(
    "method",
    of="queries",
    caption="One query from reference to ranked list, the one that gains most (chosen for that).",
)
def method(collection: Collection, count: int, dataset: str, top: int = SHOWN):
    """The method on one query: reference and request, target caption and layout, proxies, both lists."""
    plt = style.start()
    drawn = [e for e in collection.examples if e.layout and e.proxies]
    chosen = examples.won(drawn, 1)
    figure = plt.figure(figsize=(9.6, 3.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.04)
    cells = figure.subplots(3, CELLS, gridspec_kw={"width_ratios": [1, 1.25, 1.25, 1, *[1] * SHOWN]})
    for cell in cells.flat:
        cell.set_axis_off()
    if not chosen:
        words(cells[0][0], "no query was imagined")
        return figure
    _imagined(cells[0], collection, chosen[0])
    for line, variant in ((cells[1], BASE), (cells[2], METHOD)):
        _found(line, collection, chosen[0], variant)
    for text in (text for cell in cells.flat for text in cell.texts):
        text.set_in_layout(False)  # words may run into the empty cells beside them
    return figure


def _imagined(line, collection: Collection, example: Example) -> None:
    line[0].set_axis_on()
    picture(line[0], collection.paths.get(example.query.reference), "given: reference")
    words(line[1], f"given: “{example.query.caption}”", width=17)
    words(line[2], f"imagined: “{example.target_captions[0]}”" if example.target_captions else "", width=17)
    line[3].set_axis_on()
    boxes(line[3], example.layout, 100, 100)
    line[3].set(xlim=(0, 100), ylim=(100, 0), aspect="equal", xticks=[], yticks=[])
    line[3].set_title("imagined: layout", fontsize=7, pad=2.5)
    for spine in line[3].spines.values():
        spine.set(visible=True, color=style.GREY)
    for number, (cell, path) in enumerate(zip(line[4:], example.proxies, strict=False), 1):
        cell.set_axis_on()
        picture(cell, path, f"drawn: proxy {number}")


def _found(line, collection: Collection, example: Example, variant: str) -> None:
    told = VARIANTS[variant].description
    told = told if told.startswith(VARIANTS[variant].label) else f"{VARIANTS[variant].label}: {told}"
    words(line[1], f"Found by {told}. {place(example, variant).capitalize()}.", width=44, size=8.5)
    names = example.lists.get(variant, ())[:SHOWN]
    for number, (cell, name) in enumerate(zip(line[4:], names, strict=False), 1):
        cell.set_axis_on()
        picture(cell, collection.paths.get(name), str(number), name in (example.query.targets or ()))
