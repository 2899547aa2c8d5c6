"use strict";
// What the query browser and the page of `ipcir serve` share. Text is always set as text, never as markup.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];
const WHITE_ON = new Set(["#0072b2", "#000000"]);
const at = id => document.getElementById(id);

function make(tag, text, attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (text != null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function picture(source, caption, hit) {
  const figure = make("figure", null, hit ? { class: "hit" } : {});
  const frame = make("div", null, { class: "frame" });
  if (source) {
    const image = make("img", null, { src: source, alt: caption, loading: "lazy", decoding: "async" });
    if (source.endsWith(".png")) figure.classList.add("small");
    frame.append(image);
  } else frame.append(make("span", "none"));
  figure.append(frame, make("figcaption", caption));
  return figure;
}

function boxes(layout) {
  // One box per instance, in fractions of the layer that they are put on.
  return layout.instances.map((instance, n) => {
    const [x1, y1, x2, y2] = instance.box, colour = COLOURS[n % COLOURS.length];
    const label = make("b", String(n + 1)), box = make("div", null, { class: "box" }, label);
    box.style.cssText = `left:${100 * x1}%;top:${100 * y1}%;width:${100 * (x2 - x1)}%;height:${100 * (y2 - y1)}%;` +
      `border-color:${colour};border-style:${instance.modality === "image" ? "dashed" : "solid"}`;
    label.style.background = colour;
    label.style.color = WHITE_ON.has(colour) ? "#fff" : "#000";
    return box;
  });
}

function section(title, layout, ...children) {
  return [make("h3", title), make("div", null, { class: layout }, ...children)];
}

function lines(title, texts) {
  return make("div", null, {}, make("h3", title), make("ol", null, { class: "plain" }, ...texts.map(t => make("li", t))));
}
