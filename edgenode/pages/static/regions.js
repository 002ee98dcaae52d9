// The regions page: shapes over a picture, in fractions of it. What is drawn goes to `edgenode regions`, which
// checks it as the node would and gives back the TOML. Mouse, finger and keyboard can do the same things.

import { asker, at, fill, make } from "/base.js";

const SVG = "http://www.w3.org/2000/svg";
const HUES = ["#2fbf4f", "#4d94ff", "#ff9a1f", "#e05ae0", "#1fc8de", "#f2dc33"];
const HINTS = {
  select: "Select a shape to move it, or its corners. Arrow keys move what has the focus; with Shift further. Delete removes it.",
  box: "Drag a box. By keyboard: press the button again with Enter for one in the middle.",
  polygon: "Set corners one by one; close with Enter or on the first corner. Outside of it the model sees black.",
  quad: "Set four corners, clockwise from the top left of what you see: it is straightened to a rectangle.",
  mask: "Set the corners of what nobody may see: it is black before anything else looks. Close with Enter.",
};
const TOOL_KEYS = { v: "select", b: "box", p: "polygon", q: "quad", m: "mask" };
const ask = asker("edgenode regions does not answer: has it been ended?");
const draw = (tag, attributes = {}, text = undefined) => fill(document.createElementNS(SVG, tag), text, attributes);

let scene = { models: [], config: null };
let shapes = []; // {kind: region|mask, form: box|polygon|quad|whole, points, rest: the region's other keys}
let chosen = -1;
let tool = "select";
let draft = []; // corners set so far
let grip = null; // what a pointer holds: {corner: number or null, from, points, moved}
const past = [];
let width = 1;
let height = 1;

const report = (error) => { at("message").textContent = error.message; };
const clamp = (value) => Math.min(1, Math.max(0, value));
const tidy = (value) => Math.round(clamp(value) * 1e4) / 1e4;
const corners = (shape) => {
  if (shape.form !== "box") return shape.points;
  const [[x0, y0], [x1, y1]] = shape.points;
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
};
const titled = (shape) =>
  shape.kind === "mask" ? `mask ${shapes.filter((each) => each.kind === "mask").indexOf(shape) + 1}` : shape.rest.name;
const hue = (shape) => HUES[shapes.filter((each) => each.kind === "region").indexOf(shape) % HUES.length];

function remember() {
  past.push(JSON.stringify(shapes));
  if (past.length > 200) past.shift();
  at("undo").disabled = false;
}

function undo() {
  if (draft.length) draft.pop();
  else if (past.length) {
    shapes = JSON.parse(past.pop());
    chosen = Math.min(chosen, shapes.length - 1);
    at("undo").disabled = past.length === 0;
  }
  show();
}

function straight(shape) { // a box keeps its upper left corner first
  if (shape.form !== "box") return;
  const [[x0, y0], [x1, y1]] = shape.points;
  shape.points = [[Math.min(x0, x1), Math.min(y0, y1)], [Math.max(x0, x1), Math.max(y0, y1)]];
}

function freshName() {
  const names = new Set(shapes.map((shape) => shape.rest?.name));
  for (let number = 1; ; number += 1) if (!names.has(`region_${number}`)) return `region_${number}`;
}

function add(form, points) {
  remember();
  const kind = form === "mask" ? "mask" : "region";
  const rest = kind === "mask" ? {} : { name: freshName() };
  if (kind === "region" && scene.models.length > 1) rest.model = scene.models[0];
  shapes.push({ kind, form: kind === "mask" ? "polygon" : form, points: points.map(([x, y]) => [tidy(x), tidy(y)]), rest });
  chosen = shapes.length - 1;
  draft = [];
  pick("select");
  at("said").textContent = `${titled(shapes[chosen])} added`;
}

function closeDraft() {
  if (draft.length >= 3 && tool !== "quad") add(tool, draft);
}

function remove(index) {
  if (!shapes[index]) return;
  remember();
  at("said").textContent = `${titled(shapes[index])} removed`;
  shapes.splice(index, 1);
  chosen = -1;
  show();
}

function pick(name, byKeyboard = false) {
  if (byKeyboard && name !== "select" && name === tool) {
    const middle = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
    add(name, name === "box" ? [middle[0], middle[2]] : middle);
    return;
  }
  tool = name;
  draft = [];
  if (tool !== "select") chosen = -1;
  show();
}

// ---- what is seen

function show() {
  for (const button of at("tools").querySelectorAll("[data-tool]"))
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  at("hint").textContent = HINTS[tool];
  at("canvas").classList.toggle("drawing", tool !== "select");
  showShapes();
  showList();
  showForm();
  tell();
}

const scale = () => width / Math.max(1, at("canvas").getBoundingClientRect().width);
const listed = (points) => points.map(([x, y]) => `${x * width},${y * height}`).join(" ");

function showShapes() {
  const focused = document.activeElement?.dataset?.spot;
  const size = scale();
  at("shapes").replaceChildren(...shapes.flatMap((shape, index) => {
    if (shape.form === "whole") return [];
    const group = draw("g", {
      class: `shape ${shape.kind}${index === chosen ? " chosen" : ""}`,
      tabindex: 0, role: "button", "aria-label": `${titled(shape)}, ${shape.kind === "mask" ? "mask" : shape.form}`,
      "data-spot": `shape ${index}`,
    });
    if (shape.kind === "region") group.style.setProperty("--hue", hue(shape));
    group.append(draw("polygon", { points: listed(corners(shape)) }));
    if (shape.kind === "region") {
      const [x, y] = corners(shape).reduce((best, each) => (each[1] < best[1] ? each : best));
      const label = draw("text", {
        x: x * width + 6 * size, y: Math.max(18 * size, y * height + 18 * size), "font-size": 15 * size, "stroke-width": 3 * size,
      }, shape.rest.name);
      group.append(label);
    }
    group.addEventListener("focus", () => choose(index));
    return [group];
  }));
  const shape = shapes[chosen];
  const spots = !shape || shape.form === "whole" ? [] : corners(shape);
  at("handles").replaceChildren(...spots.map(([x, y], corner) => draw("circle", {
    cx: x * width, cy: y * height, r: 8 * size, tabindex: 0, role: "button",
    "aria-label": `corner ${corner + 1} of ${titled(shape)}`, "data-spot": `corner ${corner}`,
  })));
  const line = draft.length ? [draw("polyline", { points: listed(tool === "box" && draft.length === 2 ? corners({ form: "box", points: draft }).concat([draft[0]]) : draft) })] : [];
  const dots = tool === "box" ? [] : draft.map(([x, y]) => draw("circle", { cx: x * width, cy: y * height, r: 6 * size }));
  at("draft").replaceChildren(...line, ...dots);
  if (focused) document.querySelector(`[data-spot="${focused}"]`)?.focus();
}

function choose(index) {
  if (chosen === index) return;
  chosen = index;
  showShapes();
  showList();
  showForm();
}

function showList() {
  at("list").replaceChildren(...shapes.map((shape, index) => {
    const item = make("li");
    const button = make("button", undefined, { type: "button", "aria-pressed": String(index === chosen) });
    const swatch = make("span", undefined, { class: "swatch", "aria-hidden": "true" });
    swatch.style.setProperty("--hue", shape.kind === "mask" ? "#000" : hue(shape));
    button.append(swatch, make("span", titled(shape)), make("span", shape.kind === "mask" ? "" : shape.form));
    button.addEventListener("click", () => choose(index));
    item.append(button);
    return item;
  }));
  if (!shapes.length) at("list").append(make("li", "None yet: draw one. Without any, the whole picture is the region “frame”."));
}

function field(name, input) {
  const label = make("label", name);
  label.append(input);
  return label;
}

function showForm() {
  const shape = shapes[chosen];
  if (!shape) return at("form").replaceChildren();
  const parts = [];
  if (shape.kind === "region") {
    const name = make("input", undefined, { value: shape.rest.name, maxlength: 32, autocomplete: "off", spellcheck: "false" });
    name.addEventListener("input", () => { shape.rest.name = name.value; showShapes(); showList(); tell(); });
    name.addEventListener("focus", remember, { once: true });
    parts.push(field("Name", name));
    const model = scene.models.length ? make("select") : make("input", undefined, { value: shape.rest.model ?? "", maxlength: 32 });
    if (scene.models.length) {
      if (scene.models.length === 1) model.append(make("option", "the only one", { value: "" }));
      model.append(...scene.models.map((each) => make("option", each)));
      model.value = shape.rest.model ?? (scene.models.length === 1 ? "" : scene.models[0]);
    }
    model.addEventListener("input", () => {
      if (model.value) shape.rest.model = model.value;
      else delete shape.rest.model;
      tell();
    });
    parts.push(field("Model", model));
  }
  const names = shape.form === "box" ? [["left", "top"], ["right", "bottom"]] : shape.points.map((_, n) => [`x ${n + 1}`, `y ${n + 1}`]);
  const fields = make("div", undefined, { class: "fields" });
  for (const [n, point] of shape.points.entries())
    for (const axis of [0, 1]) {
      const input = make("input", undefined, { type: "number", min: 0, max: 1, step: 0.001, value: point[axis] });
      input.addEventListener("change", () => {
        remember();
        point[axis] = tidy(Number(input.value));
        straight(shape);
        showShapes();
        tell();
      });
      fields.append(field(names[n][axis], input));
    }
  const gone = make("button", "Remove", { type: "button" });
  gone.addEventListener("click", () => remove(chosen));
  at("form").replaceChildren(make("h2", titled(shape)), ...parts, fields, gone);
}

function written() {
  const regions = shapes.filter((each) => each.kind === "region").map(({ form, points, rest }) => {
    if (form === "whole") return rest;
    return { ...rest, [form]: form === "box" ? points.flat() : points };
  });
  return { regions, masks: shapes.filter((each) => each.kind === "mask").map((each) => each.points) };
}

let asked = 0;
async function tell() {
  const number = ++asked;
  try {
    const { toml, problems } = await ask("/api/toml", written());
    if (number !== asked) return; // a later drawing is on its way
    at("toml").textContent = toml;
    at("problems").replaceChildren(...problems.map((each) => make("li", each)));
    at("message").textContent = "";
  } catch (error) {
    report(error);
  }
}

// ---- pointer and keyboard

function place(event) {
  const box = at("picture").getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function shift(shape, points, dx, dy) { // as far as the picture goes
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const right = Math.max(-Math.min(...xs), Math.min(dx, 1 - Math.max(...xs)));
  const down = Math.max(-Math.min(...ys), Math.min(dy, 1 - Math.max(...ys)));
  shape.points = points.map(([x, y]) => [tidy(x + right), tidy(y + down)]);
}

function setCorner(shape, corner, x, y) {
  if (shape.form !== "box") {
    shape.points[corner] = [tidy(x), tidy(y)];
    return;
  }
  const [[x0, y0], [x1, y1]] = shape.points;
  const left = corner === 0 || corner === 3;
  const top = corner < 2;
  shape.points = [[left ? tidy(x) : x0, top ? tidy(y) : y0], [left ? x1 : tidy(x), top ? y1 : tidy(y)]];
}

const canvas = at("canvas");
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  const spot = event.target.closest("[data-spot]")?.dataset.spot.split(" ");
  const from = place(event);
  if (tool === "box") {
    draft = [from, from];
  } else if (tool !== "select") {
    const [first] = draft;
    const near = first && Math.hypot((from[0] - first[0]) * width, (from[1] - first[1]) * height) < 12 * scale();
    if (near && draft.length >= 3) return closeDraft();
    draft.push(from);
    if (tool === "quad" && draft.length === 4) return add("quad", draft);
    return showShapes();
  } else if (spot) {
    if (spot[0] === "shape") choose(Number(spot[1]));
    const shape = shapes[chosen];
    grip = { corner: spot[0] === "corner" ? Number(spot[1]) : null, from, points: shape.points, moved: false };
    document.querySelector(`[data-spot="${spot.join(" ")}"]`)?.focus({ preventScroll: true });
  } else return choose(-1);
  canvas.setPointerCapture(event.pointerId);
  showShapes();
});
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = place(event);
  if (tool === "box" && draft.length) {
    draft = [draft[0], [x, y]];
  } else if (grip) {
    const shape = shapes[chosen];
    if (!grip.moved) remember();
    grip.moved = true;
    if (grip.corner === null) shift(shape, grip.points, x - grip.from[0], y - grip.from[1]);
    else setCorner(shape, grip.corner, x, y);
  } else return;
  showShapes();
});
canvas.addEventListener("pointerup", () => {
  if (tool === "box" && draft.length) {
    const box = { form: "box", points: draft };
    straight(box);
    const [[x0, y0], [x1, y1]] = box.points;
    draft = [];
    if ((x1 - x0) * width > 3 && (y1 - y0) * height > 3) return add("box", box.points);
  } else if (grip?.moved) {
    straight(shapes[chosen]);
    showForm();
    tell();
  }
  grip = null;
  showShapes();
});
canvas.addEventListener("pointercancel", () => { grip = null; draft = []; show(); });

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const spot = event.target.dataset?.spot?.split(" ");
  const step = STEPS[event.key];
  if (step && spot && shapes[chosen]) {
    const shape = shapes[chosen];
    const far = event.shiftKey ? 0.05 : 0.005;
    remember();
    if (spot[0] === "shape") shift(shape, shape.points, step[0] * far, step[1] * far);
    else {
      const [x, y] = corners(shape)[Number(spot[1])];
      setCorner(shape, Number(spot[1]), x + step[0] * far, y + step[1] * far);
      straight(shape);
    }
    show();
  } else if ((event.key === "Delete" || event.key === "Backspace") && spot) remove(chosen);
  else if (TOOL_KEYS[event.key]) pick(TOOL_KEYS[event.key]);
  else if (event.key === "u") undo();
  else if (event.key === "r") refresh();
  else if (event.key === "Escape") { draft = []; chosen = -1; show(); }
  else if (event.key === "Enter" && draft.length) closeDraft();
  else return;
  event.preventDefault();
});

for (const button of at("tools").querySelectorAll("[data-tool]"))
  button.addEventListener("click", (event) => pick(button.dataset.tool, event.detail === 0));
at("undo").addEventListener("click", undo);
at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("toml").textContent);
    at("copy").textContent = "Copied";
    setTimeout(() => { at("copy").textContent = "Copy"; }, 2000);
  } catch {
    getSelection().selectAllChildren(at("toml"));
    report(new Error("The browser does not let the page copy: the text is selected, press Ctrl+C."));
  }
});

function load(path) {
  const image = new Image();
  image.addEventListener("load", () => {
    [width, height] = [image.naturalWidth, image.naturalHeight];
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    fill(at("picture"), undefined, { href: path, width, height });
    show();
  });
  image.addEventListener("error", () => report(new Error("the picture cannot be shown")));
  image.src = path;
}

async function refresh() {
  at("refresh").disabled = true;
  try {
    load((await ask("/api/picture", {})).picture);
  } catch (error) {
    report(error);
  } finally {
    at("refresh").disabled = false;
  }
}
at("refresh").addEventListener("click", refresh);
new ResizeObserver(showShapes).observe(canvas);

try {
  scene = await ask("/api/scene");
  at("camera").textContent = scene.camera;
  at("where").textContent = scene.config
    ? `Put this in place of the camera's masks and regions in ${scene.config}; its other keys stay.`
    : "Put this into the configuration file.";
  shapes = scene.regions.map(({ box, polygon, quad, ...rest }) => {
    rest.name ??= "frame";
    if (box) return { kind: "region", form: "box", points: [box.slice(0, 2), box.slice(2)], rest };
    const form = polygon ? "polygon" : quad ? "quad" : "whole";
    return { kind: "region", form, points: polygon ?? quad ?? [], rest };
  }).concat(scene.masks.map((points) => ({ kind: "mask", form: "polygon", points, rest: {} })));
  load(scene.picture);
} catch (error) {
  report(error);
}
