const data = JSON.parse(document.getElementById("data").textContent);
const MANY = { literature: "literature", reproduction: "reproductions", "own run": "own runs", control: "controls" };
const WORDS = ["text", "training"];
const shownKinds = new Set(data.kinds);
let sameProtocol = false;

function told(row, name) { return row.told.find(([key]) => key === name)?.[1] ?? ""; }

function link(text) {
  // Only what is plainly an address becomes a link; it is followed when somebody clicks, never by the page.
  return /^https:\/\/[\w.-]+\/\S*$/.test(text) ? make("a", text, { href: text, rel: "noreferrer noopener" }) : text;
}

function detail(row, width) {
  const list = make("dl");
  if (row.differs.length) list.append(make("dt", "not comparable"), make("dd", row.differs.join("; ")));
  for (const [name, text] of row.told) list.append(make("dt", name), make("dd", null, {}, link(text)));
  return make("tr", null, { class: "detail" }, make("td", null, { colspan: width }, list));
}

function first(row, width) {
  const name = row.variant ? `${row.method}, ${row.variant}` : row.method;
  const button = make("button", row.kind === "reproduction" ? told(row, "run by") : name,
    { class: "open", type: "button", "aria-expanded": "false",
      title: `${told(row, "source")}; text: ${told(row, "text")}; gallery: ${told(row, "gallery")}` });
  const cell = make("td", null, {}, button);
  if (row.kind !== "literature") cell.append(make("span", row.kind, { class: "badge kind" }));
  if (row.differs.length) cell.append(make("span", "≠ protocol", { class: "badge why", title: row.differs.join("; ") }));
  if (told(row, "judged") === "yes") cell.append(make("span", "judged", { class: "badge", title: "a model looks at the results and puts them in a new order" }));
  cell.append(make("small", told(row, "encoder")));
  button.addEventListener("click", () => {
    const line = button.closest("tr"), open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", !open);
    open ? line.nextElementSibling.remove() : line.after(detail(row, width));
  });
  return cell;
}

function draw(row, width) {
  const line = make("tr", null, { class: [row.kind === "own run" ? "own" : row.kind, row.differs.length ? "differs" : ""].join(" ").trim() });
  line.dataset.id = row.id;
  const when = [told(row, "year"), told(row, "venue")].filter(text => text && text !== "not stated");
  line.append(first(row, width), make("td", when[0] ?? "", { title: when.join(" ") }));
  for (const value of row.values) {
    const cell = make("td", value ? value[0] : "–");
    if (value?.[2]) cell.append(make("small", value[2]));
    if (value?.[3]) cell.title = value[3];
    line.append(cell);
  }
  for (const name of WORDS) line.append(make("td", told(row, name), { class: "words" }));
  return line;
}

function keyOf(table, row) {
  // What a row is sorted by: a number, or a text; null where it has none.
  const column = table.column;
  if (column === "method") return (row.method + " " + row.variant).toLowerCase();
  if (column === "year") return told(row, "year") === "not stated" ? null : told(row, "year") || null;
  if (WORDS.includes(column)) return told(row, column) || null;
  return row.values[table.metrics.findIndex(([metric]) => metric === column)]?.[1] ?? null;
}

function order(table, rows) {
  const keyed = rows.map((row, n) => [keyOf(table, row), n, row]);
  keyed.sort(([a, n], [b, m]) => a === b ? n - m : a === null ? 1 : b === null ? -1 : (a < b ? -1 : 1) * (table.down ? -1 : 1));
  return keyed.map(([, , row]) => row);
}

function visible(row, words) {
  if (!shownKinds.has(row.kind) || (sameProtocol && row.differs.length)) return false;
  const text = [row.method, row.variant, row.kind, ...row.told.map(([, value]) => value), ...row.differs].join(" ").toLowerCase();
  return words.every(word => text.includes(word));
}

function fill(table, words) {
  const rows = table.rows.filter(row => visible(row, words)), ids = new Set(rows.map(row => row.id));
  const lines = [];
  for (const row of order(table, rows.filter(row => !ids.has(row.of))))
    lines.push(row, ...order(table, rows.filter(other => other.of === row.id)));
  table.body.replaceChildren(...lines.map(row => draw(row, table.metrics.length + 2 + WORDS.length)));
  for (const head of table.heads) {
    if (head.dataset.column === table.column) head.setAttribute("aria-sort", table.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  table.box.hidden = !rows.length;
  return rows.length;
}

function refresh() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0, all = 0;
  for (const part of data.parts) {
    let here = 0;
    for (const table of part.tables) { here += fill(table, words); all += table.rows.length; }
    part.section.hidden = !here;
    count += here;
  }
  at("count").textContent = `${count} of ${all} results`;
  for (const button of at("filters").children)
    button.setAttribute("aria-pressed", button.dataset.kind ? shownKinds.has(button.dataset.kind) : sameProtocol);
}

function build(table) {
  table.column = table.sorted;
  table.down = true;
  const columns = [["method", "method"], ["year", "year"], ...table.metrics, ...WORDS.map(name => [name, name])];
  table.heads = columns.map(([column, label]) => {
    const button = make("button", label, { type: "button", title: `sort by ${column}` });
    const head = make("th", null, { scope: "col", ...(WORDS.includes(column) ? { class: "words" } : {}) }, button);
    head.dataset.column = column;
    button.addEventListener("click", () => {
      const words = column === "method" || WORDS.includes(column);
      table.down = table.column === column ? !table.down : !words;
      table.column = column;
      refresh();
    });
    return head;
  });
  table.body = make("tbody");
  const made = make("table", null, {}, make("caption", table.family), make("thead", null, {}, make("tr", null, {}, ...table.heads)), table.body);
  table.box = make("div", null, { class: "scroll" }, made);
  return table.box;
}

data.parts.forEach((part, n) => {
  part.section = make("section", null, { id: `part${n}` }, make("h2", part.name), make("p", part.rules + ".", { class: "rules" }));
  if (part.caution) part.section.append(make("p", part.caution, { class: "note" }));
  part.section.append(...part.tables.map(build));
  at("parts").append(part.section);
  at("places").append(make("a", part.name, { href: `#part${n}` }));
});
for (const kind of data.kinds) {
  const count = data.parts.reduce((sum, part) => sum + part.tables.reduce((s, t) => s + t.rows.filter(r => r.kind === kind).length, 0), 0);
  const button = make("button", `${MANY[kind]} ${count}`, { type: "button" });
  button.dataset.kind = kind;
  button.addEventListener("click", () => { shownKinds.delete(kind) || shownKinds.add(kind); refresh(); });
  at("filters").append(button);
}
const own = make("button", "benchmark's own protocol only", { type: "button" });
own.addEventListener("click", () => { sameProtocol = !sameProtocol; refresh(); });
at("filters").append(own);
at("search").addEventListener("input", refresh);
document.addEventListener("keydown", event => {
  if (event.key === "/" && document.activeElement !== at("search") && !event.ctrlKey && !event.metaKey) { event.preventDefault(); at("search").focus(); }
  if (event.key === "Escape" && document.activeElement === at("search")) at("search").blur();
  const head = document.activeElement?.closest("th");
  if (head && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
    (event.key === "ArrowRight" ? head.nextElementSibling : head.previousElementSibling)?.querySelector("button").focus();
    event.preventDefault();
  }
});
at("footer").append(
  "Percent. Click a heading, or press Enter on it, to sort; press it again to turn the order round. A method's name opens its protocol and source. " +
  "Reproductions stand below what they repeat, with the difference. Own runs show the difference to their base with its 95 % interval. " +
  "Hatched rows marked “≠ protocol” are not comparable with the others. What a source does not say is “not stated”. ");
if (data.record) at("footer").append(`${data.key}:${data.record}`);
refresh();
