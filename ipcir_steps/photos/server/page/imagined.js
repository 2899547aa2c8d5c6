// What is imagined: captions, layout and proxies as they appear; sliders that weigh them; a layout that can be edited.
// What is being done after each event: it is told when it is finished.
const STAGES = { queued: "looking at the picture", captions: "thinking of what the wanted picture shows", reasoning: "reading the captions", "captions encoded": "planning the picture", layout: "cutting out what stays", masks: "drawing", proxy: "drawing", done: "done", cancelled: "stopped", failed: "failed" };
const WEIGHTS = ["w_proxy", "w_query", "w_semantic"];
let imagination = null, drawing = null;

function began(found) {
  folder.lambda = found.lambda;
  folder.weights = found.weights;
  reset();
}

function reset() {
  WEIGHTS.forEach((name, number) => { at(name).value = folder.weights?.[number] ?? 1; });
  at("lambda").value = folder.lambda ?? 0.5;
  at("count").value = at("count").max;
  outputs();
}

function outputs() {
  for (const output of document.querySelectorAll("#sliders output")) output.value = Number(at(output.htmlFor.value).value).toFixed(output.htmlFor.value === "count" ? 0 : 2);
}

function chosen(list) { return [...document.querySelectorAll(`#${list} input[type="checkbox"]`)].flatMap((box, number) => box.checked ? [number] : []); }

function sliders() {
  // What a search says about the imagination; nothing while there is none to weigh.
  if (!imagination?.ready) return null;
  const proxies = chosen("proxies").slice(0, Number(at("count").value)), captions = chosen("captions");
  return { base: at("side").checked, imagined: { key: imagination.key, weights: WEIGHTS.map(name => Number(at(name).value)), lambda: Number(at("lambda").value), captions, proxies } };
}

function forget() {
  stop();
  imagination = null;
  at("imagined").hidden = true;
}

function stop() {
  if (!drawing) return;
  const { key, control } = drawing;
  drawing = null;
  if (key) post("/api/cancel", { key }).catch(() => {});
  control.abort();
  at("stage").textContent = STAGES.cancelled;
  at("cancel").hidden = true;
}

async function imagine(layout = null) {
  if (at("imagine").disabled) return;
  clearTimeout(typing);
  stop();
  remember();
  content();
  const mine = drawing = { key: null, control: new AbortController() };
  imagination = { ready: false, key: null, layout, captions: [], of: 0 };
  at("imagined").hidden = at("cancel").hidden = false;
  at("drawn").hidden = at("sliders").hidden = true;
  at("proxies").replaceChildren();
  if (!layout) { at("captions").replaceChildren(); at("layout").hidden = true; }
  at("progress").value = 0;
  at("stage").textContent = "beginning";
  try {
    const answer = await fetch("/api/imagine", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...words(), layout }), signal: mine.control.signal });
    if (!answer.ok) throw new Error((await answer.json()).error);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) break;
      const pieces = (rest + value).split("\n");
      rest = pieces.pop();
      for (const piece of pieces) if (drawing === mine) happened(JSON.parse(piece));
    }
    if (drawing === mine && !imagination.ready) throw new TypeError("cut");
  } catch (error) {
    if (drawing === mine) { at("stage").textContent = STAGES.failed; complain(error); }
  }
  if (drawing === mine) { drawing = null; at("cancel").hidden = true; }
}

function happened(event) {
  if (event.stage === "begun") { imagination.key = drawing.key = event.key; return; }
  at("stage").textContent = event.stage === "queued" && event.ahead ? `waiting for ${event.ahead} others` : event.stage === "proxy" ? `drawing, ${event.number + 1} of ${event.of}` : STAGES[event.stage] ?? event.stage;
  at("progress").value = at("progress").value + 1;
  if (event.stage === "captions") { imagination.captions = event.captions; at("progress").max = 6 + (folder.count ?? 5); showCaptions(); }
  else if (event.stage === "reasoning") { imagination.targets = event.captions; showCaptions(); }
  else if (event.stage === "layout") { imagination.layout = event.layout; showLayout(); }
  else if (event.stage === "masks" && event.missing.length) tell(event.missing.join("; "));
  else if (event.stage === "proxy") showProxy(event);
  else if (event.stage === "failed") { complain(new Error(event.error)); imagination.ready = false; throw new Error(event.error); }
  else if (event.stage === "done") {
    imagination.ready = true;
    at("progress").value = at("progress").max;
    at("count").max = document.querySelectorAll("#proxies figure").length;
    at("count").value = at("count").max;
    at("sliders").hidden = false;
    // On a small window the lists come first.
    if (innerWidth < 640) at("said").open = at("layout").open = false;
    outputs();
    search();
  }
}

function showCaptions() {
  const rows = imagination.captions.map((caption, number) => {
    const box = make("input", null, { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => weigh(box));
    const texts = make("span", null, {}, make("s", caption), ...(imagination.targets ? [" → ", imagination.targets[number]] : []));
    return make("li", null, {}, make("label", null, {}, box, texts));
  });
  at("captions").replaceChildren(make("ul", null, {}, ...rows));
}

function showProxy(event) {
  at("drawn").hidden = false;
  const box = make("input", null, { type: "checkbox", "aria-label": `use proxy ${event.number + 1}` }), figure = make("figure", null, { class: "small" });
  box.checked = true;
  box.addEventListener("change", () => { figure.classList.toggle("off", !box.checked); weigh(box); });
  const image = make("img", null, { src: `/proxy/${imagination.key}/${event.number}`, alt: `proxy ${event.number + 1}: ${imagination.layout?.scene ?? ""}` });
  const open = make("button", null, { type: "button", class: "drawing", "aria-label": `open proxy ${event.number + 1}` }, make("div", null, { class: "frame" }, image));
  open.addEventListener("click", () => viewDrawn(image.src, image.alt));
  figure.append(open, make("label", null, {}, box, ` ${event.number + 1}`));
  at("proxies").append(figure);
}

function weigh(box) {
  // One of each has to count.
  for (const list of ["captions", "proxies"]) if (imagination?.ready && !chosen(list).length) { box.checked = true; box.closest("figure")?.classList.remove("off"); tell("At least one has to count."); return; }
  outputs();
  if (imagination?.ready) search();
}

// --- the layout

function showLayout() {
  at("layout").hidden = false;
  const layout = imagination.layout, scene = make("input", null, { type: "text", maxlength: "600", "aria-label": "background" });
  scene.value = layout.scene;
  scene.addEventListener("input", () => { layout.scene = scene.value; });
  const forms = layout.instances.map((instance, number) => instanceForm(instance, number));
  at("instances").replaceChildren(make("label", "Background ", {}, scene), ...forms);
  drawBoxes();
}

function instanceForm(instance, number) {
  const on = make("input", null, { type: "checkbox", "aria-label": `draw ${instance.label}` });
  on.checked = !instance.off;
  on.addEventListener("change", () => { instance.off = !on.checked; drawBoxes(); });
  const text = make("input", null, { type: "text", maxlength: "600", "aria-label": `description of ${number + 1}` });
  text.value = instance.description;
  text.addEventListener("input", () => { instance.description = text.value; });
  const edges = ["left", "top", "right", "bottom"].map((edge, side) => {
    const field = make("input", null, { type: "number", min: 0, max: 100, step: 1, "aria-label": `${edge} of ${number + 1}, percent`, title: edge });
    field.value = Math.round(100 * instance.box[side]);
    field.addEventListener("input", () => { setBox(instance, instance.box.map((v, i) => i === side ? Number(field.value) / 100 : v)); drawBoxes(); });
    return make("label", edge, { class: "edge" }, field);
  });
  const like = instance.modality === "image" ? " like in the picture" : "";
  return make("fieldset", null, {}, make("legend", null, {}, on, ` ${number + 1}${like}`), text, ...edges);
}

function setBox(instance, [x1, y1, x2, y2]) {
  const clip = v => Math.min(1, Math.max(0, Math.round(v * 1000) / 1000));
  if (clip(x2) - clip(x1) >= 0.02 && clip(y2) - clip(y1) >= 0.02) instance.box = [clip(x1), clip(y1), clip(x2), clip(y2)];
}

function drawBoxes() {
  const layout = imagination.layout;
  at("canvas").replaceChildren(...boxes(layout).map((box, number) => {
    const instance = layout.instances[number];
    box.classList.toggle("off", Boolean(instance.off));
    box.append(make("i"));
    box.addEventListener("pointerdown", event => drag(event, box, instance, number));
    return box;
  }));
}

function drag(event, box, instance, number) {
  event.preventDefault();
  const resize = event.target.tagName === "I", start = instance.box.slice(), size = at("canvas").clientWidth;
  const move = now => {
    const dx = (now.clientX - event.clientX) / size, dy = (now.clientY - event.clientY) / size;
    const [x, y] = [Math.min(1 - start[2], Math.max(-start[0], dx)), Math.min(1 - start[3], Math.max(-start[1], dy))];
    setBox(instance, resize ? [start[0], start[1], start[2] + dx, start[3] + dy] : [start[0] + x, start[1] + y, start[2] + x, start[3] + y]);
    const [x1, y1, x2, y2] = instance.box;
    Object.assign(box.style, { left: 100 * x1 + "%", top: 100 * y1 + "%", width: 100 * (x2 - x1) + "%", height: 100 * (y2 - y1) + "%" });
    document.querySelectorAll("#instances fieldset")[number].querySelectorAll('input[type="number"]').forEach((field, side) => { field.value = Math.round(100 * instance.box[side]); });
  };
  const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
}

function redraw() {
  const kept = imagination.layout.instances.filter(instance => !instance.off).map(({ off, ...rest }) => rest);
  if (!kept.length || !imagination.layout.scene.trim()) { complain(new Error("A picture needs a background and at least one thing.")); return; }
  imagine({ scene: imagination.layout.scene, instances: kept });
}

at("imagine").addEventListener("click", () => imagine());
at("cancel").addEventListener("click", stop);
at("redraw").addEventListener("click", redraw);
at("reset").addEventListener("click", () => { reset(); search(); });
at("side").addEventListener("change", search);
for (const name of [...WEIGHTS, "lambda", "count"]) at(name).addEventListener("input", () => { outputs(); search(); });
showReferences();
browse();
