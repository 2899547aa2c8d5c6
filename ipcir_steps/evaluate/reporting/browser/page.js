const data = JSON.parse(document.getElementById("data").textContent);
const FILTERS = [["all", "all"], ["won", "won"], ["lost", "lost"], ["same", "same"], ["failed", "failed"]];
let filter = "all", boxed = true, shown = [], current = 0;

function place(image, layout) {
  // The boxes lie on the picture itself, which may be narrower than its frame.
  const scale = Math.min(106 / image.naturalWidth, 106 / image.naturalHeight);
  const layer = make("div", null, { class: "drawn" }, ...boxes(layout));
  layer.style.width = image.naturalWidth * scale + "px";
  layer.style.height = image.naturalHeight * scale + "px";
  image.parentElement.append(layer);
}

function where(query, variant) {
  return query.ranks[variant] ? `target at ${query.ranks[variant]}` : "target not listed";
}

function show() {
  const query = shown[current], box = at("query");
  box.replaceChildren();
  for (const row of at("list").children) row.setAttribute("aria-selected", row.dataset.id === query?.id);
  if (!query) { box.append(make("p", "No query matches.")); return; }
  at("list").querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  history.replaceState(null, "", "#" + encodeURIComponent(query.id));
  box.append(make("h2", query.caption));
  if (query.failure) box.append(make("p", "Failed in " + query.failure + ". Both lists are those of the text alone.", { class: "note" }));
  const first = [picture(query.reference[0], "reference " + query.reference[1])];
  for (const [source, name] of query.targets) first.push(picture(source, "target " + name, true));
  box.append(...section(`query ${query.id}${query.category ? ", " + query.category : ""}`, "row", ...first));
  if (query.proxies.length) {
    const drawn = query.proxies.map((source, n) => picture(source, `proxy ${n + 1}`));
    box.append(...section("imagined proxies" + (query.stopped ? `, ${drawn.length} drawn: ${query.stopped}` : ""), "row", ...drawn));
    if (boxed && query.layout) for (const figure of drawn) {
      const image = figure.querySelector("img");
      if (image) image.complete && image.naturalWidth ? place(image, query.layout) : image.addEventListener("load", () => place(image, query.layout), { once: true });
    }
  }
  if (query.stopped && !query.proxies.length) box.append(make("p", `No proxy was drawn: ${query.stopped}.`, { class: "note" }));
  for (const [variant, title] of data.lists)
    box.append(...section(`${title}: ${where(query, variant)}`, "ten",
      ...query.lists[variant].map(([source, name, hit], n) => picture(source, `${n + 1}  ${name}`, hit))));
  const texts = [];
  if (query.source.length) texts.push(lines("captions of the reference", query.source));
  if (query.target.length) texts.push(lines("captions of the target, written", query.target));
  box.append(make("div", null, { class: "columns" }, ...texts));
  if (query.layout) box.append(lines(`layout: ${query.layout.scene}`, query.layout.instances.map(i =>
    `${i.description} (${i.modality === "image" ? "like the reference" : "from text"})`)));
  box.scrollTop = 0;
}

function list() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = shown[current]?.id;
  shown = data.queries.filter(q => (filter === "all" || q.state === filter) &&
    words.every(w => (q.id + " " + q.caption).toLowerCase().includes(w)));
  current = Math.max(0, shown.findIndex(q => q.id === kept));
  const rows = shown.map(q => {
    const moved = q.state === "failed" ? "failed" : data.lists.map(([variant]) => q.ranks[variant] ?? "–").join(" → ");
    const meta = make("div", null, { class: "meta" }, make("span", q.id), make("span", moved, { class: q.state }));
    const row = make("li", null, { role: "option" }, make("div", q.caption), meta);
    row.dataset.id = q.id;
    return row;
  });
  at("list").replaceChildren(...rows);
  at("count").textContent = `${shown.length} of ${data.queries.length} queries` +
    (data.total > data.queries.length ? ` (${data.total} in all)` : "");
  for (const button of at("filters").children) button.setAttribute("aria-pressed", button.dataset.name === filter);
  show();
}

function move(to) {
  current = Math.max(0, Math.min(shown.length - 1, to));
  show();
}

FILTERS.forEach(([name, text], n) => {
  const number = name === "all" ? data.queries.length : data.queries.filter(q => q.state === name).length;
  const button = make("button", `${text} ${number}`, { title: `key ${n + 1}`, type: "button" });
  button.dataset.name = name;
  button.addEventListener("click", () => { filter = name; list(); });
  at("filters").append(button);
});
at("search").addEventListener("input", list);
at("list").addEventListener("click", event => {
  const row = event.target.closest("li");
  if (row) move(shown.findIndex(q => q.id === row.dataset.id));
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.activeElement === at("search")) {
    if (event.key === "Escape" || event.key === "Enter") at("search").blur();
    return;
  }
  const keys = {
    ArrowDown: () => move(current + 1), j: () => move(current + 1), ArrowUp: () => move(current - 1), k: () => move(current - 1),
    PageDown: () => move(current + 10), PageUp: () => move(current - 10), Home: () => move(0), End: () => move(shown.length - 1),
    "/": () => at("search").focus(), b: () => { boxed = !boxed; show(); },
  };
  FILTERS.forEach(([name], n) => { keys[n + 1] = () => { filter = name; list(); }; });
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
const help = [["↑ ↓", "query"], ["1–5", "filter"], ["/", "search"], ["b", "boxes"]];
for (const [key, text] of help) at("footer").append(make("kbd", key), ` ${text}   `);
if (data.record) at("footer").append(`${data.key}:${data.record}`);
const asked = decodeURIComponent(location.hash.slice(1));
list();
if (asked) { const found = shown.findIndex(q => q.id === asked); if (found > 0) move(found); }
