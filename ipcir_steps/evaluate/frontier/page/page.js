const data = JSON.parse(at("data").textContent);
const SVG = "http://www.w3.org/2000/svg", NEAR = 0.02, REACH = 30;
const body = document.querySelector("#rows tbody"), heads = [...document.querySelectorAll("#rows thead th")];
const lineOf = new Map([...body.rows].map(line => [line.dataset.name, line]));
const settings = [...new Set(data.rows.map(row => row.setting))].filter(name => name !== data.configured && name !== data.nothing);
const whole = data.rows.find(row => row.name === data.configured);
const pinned = new Set(), shown = { near: false, rules: true };
let current = null, places = [];

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function text(x, y, words, anchor = "middle", kind = "") {
  return svg("text", { x, y, "text-anchor": anchor, class: kind }, words);
}

// Seven colours and five shapes: no two settings share both until there are 35 of them.
const SHAPES = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.7,-3.7h7.4v7.4h-7.4z", "M0,-4.8L4.6,3.6H-4.6z", "M0,-5L5,0L0,5L-5,0z", "M0,4.8L4.6,-3.6H-4.6z"];
function look(setting) {
  if (setting === data.configured) return ["whole", "M-5,-5h10v10h-10z"];
  if (setting === data.nothing) return ["nothing", "M-5,-5L5,5M5,-5L-5,5"];
  const n = settings.indexOf(setting);
  return [`s${n % 7}`, SHAPES[Math.floor(n / 7) % SHAPES.length]];
}

function mark(setting) {
  const [kind, shape] = look(setting);
  return svg("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, class: `point ${kind}`, "aria-hidden": "true" }, svg("path", { d: shape, class: "shape" }));
}

function ticks(low, high) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find(size => (high - low) / size <= 8) ?? 100, found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(n * step);
  return found;
}

function powers(low, high) {
  const found = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++)
    for (const digit of [1, 2, 5]) if (digit * 10 ** e >= low && digit * 10 ** e <= high) found.push(digit * 10 ** e);
  return found;
}

function visible() {
  // Rows with a place in the plot. What costs nothing stands left of the logarithmic axis; what is not counted is in the table only.
  return data.rows.filter(row => (row.operations > 0 || row.name === data.nothing) && (shown.rules || !row.rule) &&
    (!shown.near || Math.abs(row.value - whole.value) <= NEAR));
}

function draw() {
  const rows = visible(), width = Math.max(300, at("chart").clientWidth), height = width < 560 ? 340 : 440;
  const left = 46, gutter = 44, right = width - 16, top = 14, bottom = height - 40, start = left + gutter;
  const paid = rows.filter(row => row.operations > 0).map(row => row.operations / 1e12);
  const least = Math.min(...paid) / 1.3, most = Math.max(...paid) * 1.3;
  const bounds = rows.flatMap(row => [100 * (whole.value + row.low), 100 * (whole.value + row.high)]);
  const margin = 0.06 * (Math.max(...bounds) - Math.min(...bounds)) + 0.05;
  const low = Math.min(...bounds) - margin, high = Math.max(...bounds) + margin;
  const x = cost => cost > 0 ? start + (right - start) * Math.log(cost / 1e12 / least) / Math.log(most / least) : left + gutter / 2;
  const y = value => bottom - (bottom - top) * (100 * value - low) / (high - low);
  const chart = svg("svg", { height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "application",
    "aria-label": `${data.key} against operations of one query. Arrow keys go from row to row.` });
  for (const value of ticks(low, high))
    chart.append(svg("line", { x1: left, x2: right, y1: y(value / 100), y2: y(value / 100), class: "grid" }), text(left - 6, y(value / 100) + 4, +value.toFixed(1), "end"));
  let free = start + 10;
  for (const value of powers(least, most)) {
    if (x(1e12 * value) < free) continue;
    chart.append(text(x(1e12 * value), bottom + 16, value));
    free = x(1e12 * value) + 8 * Math.max(5, String(value).length);
  }
  chart.append(text(left + gutter / 2, bottom + 16, "0"), text((start + right) / 2, height - 8, "operations of one query's images, TFLOP"),
    svg("line", { x1: start, x2: start, y1: top, y2: bottom, class: "grid" }), text(left - 6, 10, "%", "end"));
  for (const [part, words] of whole.operations ? [[0.25, "a quarter"], [0.1, "a tenth"]] : []) {
    const place = x(part * whole.operations);
    if (place > start + 20) chart.append(svg("line", { x1: place, x2: place, y1: top, y2: bottom, class: "part" }), text(place + 4, bottom - 6, words, "start"));
  }
  chart.append(svg("line", { x1: left, x2: right, y1: y(whole.value), y2: y(whole.value), class: "level" }));
  for (const setting of settings) {
    const own = rows.filter(row => row.setting === setting && !row.rule && row.operations > 0).sort((a, b) => a.operations - b.operations);
    const line = svg("polyline", { points: own.map(row => `${x(row.operations)},${y(row.value)}`).join(" "), class: `join ${look(setting)[0]}` });
    line.dataset.setting = setting;
    chart.append(line);
  }
  places = rows.map(row => ({ row, x: x(row.operations), y: y(row.value) })).sort((a, b) => a.x - b.x);
  const above = row => row.name === data.configured ? 2 : row.rule ? 0 : 1;
  for (const place of [...places].sort((a, b) => above(a.row) - above(b.row))) chart.append(point(place, y));
  label(chart, places);
  chart.append(svg("circle", { r: 9, class: "cursor", visibility: "hidden" }));
  chart.addEventListener("pointermove", event => {
    const box = chart.getBoundingClientRect(), found = nearest((event.clientX - box.left) * width / box.width, (event.clientY - box.top) * width / box.width);
    if (found) select(found.row.name);
  });
  chart.addEventListener("click", () => current && lineOf.get(current).scrollIntoView({ block: "nearest", behavior: "smooth" }));
  chart.addEventListener("keydown", event => {
    const n = places.findIndex(place => place.row.name === current), last = places.length - 1;
    const to = { ArrowRight: n + 1, ArrowLeft: n < 0 ? last : n - 1, ArrowUp: n + 1, ArrowDown: n - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(places[Math.max(0, Math.min(last, to))].row.name);
  });
  chart.addEventListener("focus", () => current || select(data.chosen ?? data.configured));
  const focused = document.activeElement === at("chart").firstChild;
  at("chart").replaceChildren(chart);
  if (focused) chart.focus();
  emphasise();
}

function point({ row, x, y: middle }, y) {
  const [kind, shape] = look(row.setting);
  const mark = svg("g", { class: `point ${kind}${row.rule ? " rule" : ""}` },
    svg("line", { x1: x, x2: x, y1: y(whole.value + row.low), y2: y(whole.value + row.high), class: "bar" }),
    svg("path", { d: shape, class: "shape", transform: `translate(${x},${middle})` }));
  mark.dataset.name = row.name;
  mark.dataset.setting = row.setting;
  if (row.name === data.chosen) mark.append(svg("circle", { cx: x, cy: middle, r: 11, class: "ring" }));
  return mark;
}

function label(chart, places) {
  const names = new Map([[data.chosen, "chosen: "], [data.configured, ""], [data.nothing, ""]]), width = chart.viewBox.baseVal.width;
  for (const { row, x, y } of places) if (names.has(row.name)) {
    const end = x > width * 0.7;
    chart.append(text(row.name === data.nothing ? x - 8 : x + (end ? 4 : -4), row.name === data.nothing ? y + 22 : y - 16, names.get(row.name) + row.name,
      row.name === data.nothing || !end ? "start" : "end", "name"));
  }
}

function nearest(x, y) {
  const far = place => Math.hypot(place.x - x, place.y - y);
  const found = places.reduce((best, place) => !best || far(place) < far(best) ? place : best, null);
  return found && far(found) <= REACH ? found : null;
}

function select(name) {
  current = name;
  for (const [key, line] of lineOf) line.classList.toggle("lit", key === name);
  const cells = [...lineOf.get(name).cells];
  at("told").replaceChildren(make("b", name), ...cells.slice(1).map((cell, n) => make("span", null, {}, make("i", heads[n + 1].dataset.words + " "), cell.textContent)));
  const small = cells[0].querySelector("small");
  if (small) at("told").append(make("div", small.textContent));
  const setting = data.rows.find(row => row.name === name).setting;
  for (const figure of document.querySelectorAll("figure[data-setting]")) figure.classList.toggle("lit", figure.dataset.setting === setting);
  emphasise();
}

function emphasise() {
  const chart = at("chart").querySelector("svg"), place = places.find(place => place.row.name === current);
  chart.classList.toggle("some", pinned.size > 0);
  for (const element of chart.querySelectorAll("[data-setting]"))
    element.classList.toggle("lit", pinned.has(element.dataset.setting) || [data.configured, data.nothing].includes(element.dataset.setting));
  const cursor = chart.querySelector(".cursor");
  cursor.setAttribute("visibility", place ? "visible" : "hidden");
  if (place) { cursor.setAttribute("cx", place.x); cursor.setAttribute("cy", place.y); }
}

function toggle(words, title, change, pressed = false) {
  const button = make("button", words, { type: "button", title, "aria-pressed": pressed });
  button.addEventListener("click", () => { button.setAttribute("aria-pressed", change()); draw(); });
  return button;
}

function sort(n, down) {
  const key = line => line.cells[n].dataset.v, words = n === 0;
  const order = [...body.rows].map((line, place) => [key(line), place, line]).sort(([a, i], [b, j]) => {
    if (a === undefined || b === undefined) return a === b ? i - j : a === undefined ? 1 : -1;
    const less = words ? a.localeCompare(b) : a - b;
    return less === 0 ? i - j : down ? -less : less;
  });
  body.replaceChildren(...order.map(([, , line]) => line));
  heads.forEach((head, m) => m === n ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
}

heads.forEach((head, n) => {
  const button = make("button", head.textContent, { type: "button" });
  head.dataset.words = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => sort(n, head.getAttribute("aria-sort") === (n ? "descending" : "ascending") ? n === 0 : n !== 0));
});
heads[7].setAttribute("aria-sort", "ascending");  // as the table comes
body.addEventListener("pointerover", event => { const line = event.target.closest("tr"); if (line) select(line.dataset.name); });
body.addEventListener("click", event => { const line = event.target.closest("tr"); if (line) select(line.dataset.name); });
if (data.rows.some(row => row.operations > 0)) {
  at("plot").hidden = false;
  at("tools").append(toggle("close to the configured setting", "rows within two points of it only", () => shown.near = !shown.near));
  if (data.rows.some(row => row.rule)) at("tools").append(toggle("rules for stopping", "rows that stop drawing early, hollow", () => shown.rules = !shown.rules, true));
  for (const setting of settings) {
    const button = toggle(setting, "show these settings before the others", () => pinned.delete(setting) ? false : Boolean(pinned.add(setting)));
    button.prepend(mark(setting));
    at("legend").append(button);
  }
  at("told").textContent = "Point at a mark, or press the arrow keys in the plot. Bars: 95 % interval of the difference to the configured setting, whose value is the dashed line.";
  new ResizeObserver(draw).observe(at("chart"));
}
