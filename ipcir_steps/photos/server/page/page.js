// The question, the photos and the lists. What is imagined is in imagined.js.
const question = { references: [], text: "" };
const FIELDS = ["k", "min_score", "after", "before", "sort", "collapse", "exclude_reference"];
let trail = [], here = -1, asking = null, again = false, folder = { total: 0, shown: 0 };

async function post(address, body, type = "application/json") {
  const answer = await fetch(address, { method: "POST", headers: { "content-type": type }, body: type === "application/json" ? JSON.stringify(body) : body });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ error: `the server answers ${answer.status}` }));
    throw Object.assign(new Error(told.error), { status: answer.status });
  }
  return answer;
}

function tell(text) { at("status").textContent = text; }
function complain(error) {
  at("problem").textContent = error instanceof TypeError ? "The server does not answer. Is ipcir serve still running?" : error.message;
  at("problem").hidden = false;
}
function content() { at("problem").hidden = true; }

function thumb(picture) { return picture.upload ? `/upload/${picture.upload}` : `/thumb/${picture.line}?v=${picture.version}`; }
function nameOf(picture) { return picture.upload ? "your picture" : picture.name; }

function limits() {
  const found = {};
  for (const name of FIELDS) {
    const field = at(name);
    if (field.type === "checkbox") found[name] = field.checked;
    else if (field.value !== "") found[name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return found;
}

function words() {
  const references = question.references.map(p => p.upload ? { upload: p.upload, weight: p.weight } : { line: p.line, weight: p.weight });
  return { references, text: at("text").value };
}

function empty() { return !question.references.length && !at("text").value.trim(); }

// --- photos

function card(photo, number, scored) {
  const figure = make("figure"), frame = make("div", null, { class: "frame" });
  const image = make("img", null, { src: thumb(photo), alt: "", loading: "lazy", decoding: "async" });
  if (Math.max(photo.width, photo.height) <= 128) figure.classList.add("small");
  frame.append(image);
  const title = `${scored ? number + 1 + ". " : ""}${photo.name}${scored ? `, score ${photo.score.toFixed(3)}` : ""}`;
  const choose = make("button", null, { type: "button", class: "choose", "aria-label": scored ? `${title}: more like this` : `choose ${title}`, title: photo.name }, frame);
  choose.photo = photo;
  // A photo of the folder goes with the words that are there; a result begins the next question.
  choose.addEventListener("click", () => choosePhoto(photo, { keep: !scored }));
  const open = make("button", "open", { type: "button", class: "open", tabindex: "-1", "aria-label": `open ${photo.name}` });
  open.addEventListener("click", () => view(photo));
  const caption = make("figcaption", null, {}, make("span", photo.name, { class: "name", title: photo.name }));
  if (scored) {
    caption.append(make("span", photo.score.toFixed(3), { title: `S_t ${photo.text_score.toFixed(3)}` + (photo.proxy_score == null ? "" : `, S_p ${photo.proxy_score.toFixed(3)}`) }));
    const copies = photo.same.length + photo.near.length;
    if (copies) caption.append(make("span", `+${copies} alike`, { title: [...photo.same, ...photo.near.map(p => p.name)].join("\n") }));
  } else caption.append(make("span", photo.taken.slice(0, 10)));
  caption.append(open);
  figure.append(choose, caption);
  return make("li", null, {}, figure);
}

// A photo that is redrawn between press and release would lose its click: lists wait until the button is let go.
let pressed = false;
const postponed = new Map(); // list: how it is to be drawn
addEventListener("pointerdown", event => { pressed = Boolean(event.target.closest?.(".photos")); });
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => {
  pressed = false;
  setTimeout(() => { postponed.forEach((draw, list) => { postponed.delete(list); draw(); }); });
});

function fill(list, photos, scored) {
  if (pressed) postponed.set(list, () => fill(list, photos, scored));
  else list.replaceChildren(...photos.map((photo, number) => card(photo, number, scored)));
}

async function browse(start = 0) {
  try {
    const asked = new URLSearchParams({ start, name: at("name").value });
    const found = await (await fetch("/api/photos?" + asked)).json();
    if (found.error) throw new Error(found.error);
    const list = at("browse").querySelector("ol"), cards = found.photos.map(photo => card(photo));
    start ? list.append(...cards) : list.replaceChildren(...cards);
    folder = { ...folder, ...found, shown: start + cards.length };
    at("folder").textContent = document.title = `Photos in ${found.folder}`;
    at("browsing").textContent = `All photos (${found.total})`;
    at("mark").textContent = found.mark;
    at("mark").hidden = !found.mark;
    at("more").hidden = folder.shown >= found.total;
    if (!start && typeof began === "function") began(found);
    if (!start && found.unreadable) tell(`${found.unreadable} files of the folder cannot be read; ipcir index names them.`);
  } catch (error) { complain(error); }
}

function view(photo) {
  at("large").src = `/photo/${photo.line}?v=${photo.version}`;
  at("large").alt = photo.name;
  at("viewed").textContent = `${photo.name}, ${photo.width} × ${photo.height}, ${photo.taken.replace("T", " ")}`;
  at("viewer").photo = photo;
  at("like").hidden = at("add").hidden = false;
  at("viewer").showModal();
}

function viewDrawn(source, text) {
  at("large").src = source;
  at("large").alt = at("viewed").textContent = text;
  at("like").hidden = at("add").hidden = true;
  at("viewer").showModal();
}

// --- the question

function showReferences() {
  at("references").replaceChildren(...question.references.map((picture, number) => {
    const image = make("img", null, { src: thumb(picture), alt: nameOf(picture) });
    const remove = make("button", "×", { type: "button", "aria-label": `remove ${nameOf(picture)}` });
    remove.addEventListener("click", () => { question.references.splice(number, 1); changed(); at("text").focus(); });
    const weight = make("input", null, { type: "number", step: "0.5", value: picture.weight, "aria-label": `weight of ${nameOf(picture)}`, title: "weight; below 0 pushes away" });
    weight.addEventListener("change", () => { picture.weight = Number(weight.value) || 0; changed(); });
    return make("li", null, {}, image, remove, ...(question.references.length > 1 || picture.weight !== 1 ? [weight] : []));
  }));
  canImagine();
}

function canImagine() {
  const lacks = !question.references.some(p => p.weight > 0) ? "choose a photo first" : at("text").value.trim() ? "" : "say what should be different first";
  at("imagine").disabled = Boolean(lacks);
  at("imagine").title = lacks;
}

function changed() {
  showReferences();
  forget();
  content();
  empty() ? nothing() : search();
}

function nothing() {
  at("results").hidden = true;
  tell("");
}

function choosePhoto(photo, { add = false, keep = false } = {}) {
  if (!add) { remember(); question.references = []; if (!keep) at("text").value = ""; }
  question.references.push({ ...photo, weight: 1 });
  changed();
  remember();
  at("text").focus({ preventScroll: true });
  at("text").select(); // words that were kept are written over by typing
  scrollTo({ top: 0 });
}

async function search() {
  if (asking) { again = true; return; }
  const begun = performance.now();
  asking = { ...words(), limits: limits(), ...(sliders() ?? {}) };
  const waiting = setTimeout(() => tell("Searching …"), 300); // the first question waits for the model
  try {
    const found = await (await post("/api/search", asking)).json();
    show(found);
    document.body.dataset.milliseconds = (performance.now() - begun).toFixed(2);
    const list = found.ipcir ?? found.base;
    clearTimeout(waiting);
    tell(list.length ? `The ${list.length} best photos${at("sort").value === "date" ? ", newest first" : ""}` : "No photo matches.");
    content();
  } catch (error) {
    clearTimeout(waiting);
    tell("");
    if (error.status === 409) imagine(); else complain(error);
  }
  asking = null;
  if (again) { again = false; if (!empty()) search(); }
}

function show(found) {
  at("results").hidden = false;
  at("ipcir").hidden = !found.ipcir;
  at("base").hidden = !found.base;
  at("base").querySelector("h2").textContent = found.ipcir ? "Without (text alone)" : "Found";
  if (found.ipcir) fill(at("ipcir").querySelector("ol"), found.ipcir, true);
  if (found.base) fill(at("base").querySelector("ol"), found.base, true);
}

async function send(file) {
  if (!file) return;
  tell(`Reading ${file.name || "the picture"} …`);
  try {
    const type = file.type.startsWith("image/") ? file.type : "image/x-unknown";
    const { upload } = await (await post("/api/upload", file, type)).json();
    remember();
    question.references.push({ upload, weight: 1 });
    changed();
    remember();
    at("text").focus();
  } catch (error) { tell(""); complain(error); }
}

// --- the trail

function remember() {
  if (empty()) return;
  const entry = { references: question.references.map(p => ({ ...p })), text: at("text").value };
  const last = trail[here];
  if (last && JSON.stringify(last) === JSON.stringify(entry)) return;
  // Words that are added to the same pictures belong to the same step.
  if (last && JSON.stringify(last.references) === JSON.stringify(entry.references) && !last.text) trail[here] = entry;
  else { trail = [...trail.slice(0, here + 1), entry]; here = trail.length - 1; }
  showTrail();
}

function showTrail() {
  at("trail").hidden = trail.length < 2;
  at("trail").querySelector("ol").replaceChildren(...trail.map((entry, number) => {
    const pictures = entry.references.map(p => make("img", null, { src: thumb(p), alt: nameOf(p) }));
    const button = make("button", null, { type: "button", ...(number === here ? { "aria-current": "step" } : {}) }, ...pictures, make("span", entry.text || "more like this"));
    button.addEventListener("click", () => {
      here = number;
      question.references = entry.references.map(p => ({ ...p }));
      at("text").value = entry.text;
      changed();
      showTrail();
    });
    return make("li", null, {}, button);
  }));
}

async function save(kind, body) {
  try {
    const answer = await post(`/api/export/${kind}`, body), link = make("a", null, { download: `${kind}.csv` });
    link.href = URL.createObjectURL(await answer.blob());
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) { complain(error); }
}

// --- events

let typing = 0;
at("text").addEventListener("input", () => { canImagine(); clearTimeout(typing); typing = setTimeout(changed, 350); });
at("ask").addEventListener("submit", event => { event.preventDefault(); clearTimeout(typing); changed(); remember(); });
at("clear").addEventListener("click", () => { question.references = []; at("text").value = ""; changed(); at("text").focus(); });
at("file").addEventListener("change", () => { send(at("file").files[0]); at("file").value = ""; });
at("more").addEventListener("click", () => browse(folder.shown));
at("name").addEventListener("input", () => browse());
at("close").addEventListener("click", () => at("viewer").close());
at("like").addEventListener("click", () => { at("viewer").close(); choosePhoto(at("viewer").photo); });
at("add").addEventListener("click", () => { at("viewer").close(); choosePhoto(at("viewer").photo, { add: true }); });
new ResizeObserver(([header]) => document.documentElement.style.setProperty("--head", `${header.target.offsetHeight}px`)).observe(document.querySelector("header"));
at("export").addEventListener("click", () => save("results", { ...words(), limits: limits(), ...(sliders() ?? {}) }));
at("export_queries").addEventListener("click", () => { remember(); save("queries", { questions: trail.map(entry => ({ text: entry.text, references: entry.references.map(p => p.upload ? { upload: p.upload, weight: p.weight } : { line: p.line, weight: p.weight }) })) }); });
for (const name of FIELDS) at(name).addEventListener("change", () => { if (!empty()) search(); });
addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("dropping"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
addEventListener("drop", event => { event.preventDefault(); document.body.classList.remove("dropping"); send([...event.dataTransfer.files].find(f => f.type.startsWith("image/")) ?? event.dataTransfer.files[0]); });
addEventListener("paste", event => { const file = [...event.clipboardData.files][0]; if (file) { event.preventDefault(); send(file); } });

function neighbour(button, key) {
  const buttons = [...document.querySelectorAll(".photos button.choose")].filter(b => b.offsetParent);
  const place = button.getBoundingClientRect(), number = buttons.indexOf(button);
  if (key === "ArrowRight") return buttons[number + 1];
  if (key === "ArrowLeft") return buttons[number - 1];
  const down = key === "ArrowDown", rows = buttons.filter(b => {
    const other = b.getBoundingClientRect();
    return (down ? other.top > place.top + 4 : other.top < place.top - 4) && Math.abs(other.left - place.left) < place.width * 0.7;
  });
  return down ? rows[0] : rows.at(-1);
}

addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || at("viewer").open) return;
  const active = document.activeElement, typed = /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName) && active.type !== "checkbox" && active.type !== "range";
  const photo = active.classList?.contains("choose") ? active : null;
  if (event.key === "Escape") { stop(); if (typed) active.blur(); return; }
  if (active === at("text") && event.key === "ArrowDown") { event.preventDefault(); document.querySelector("#results:not([hidden]) .list:not([hidden]) button.choose, #browse button.choose")?.focus(); return; }
  if (typed) return;
  if (event.key === "/") { event.preventDefault(); at("text").focus(); at("text").select(); }
  else if (event.key === "i" && !at("imagine").disabled) imagine();
  else if (photo && event.key === "o") view(photo.photo);
  else if (photo && event.key === "a") choosePhoto(photo.photo, { add: true });
  else if (photo && event.key.startsWith("Arrow")) { event.preventDefault(); neighbour(photo, event.key)?.focus(); }
});
