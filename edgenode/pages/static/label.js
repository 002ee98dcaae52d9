// The labelling page: one picture at a time, one key for each label. Every answer is on the disk before the next
// picture counts as shown; what cannot be written is said, and the picture stays.

import { asker, at, make } from "/base.js";

const KEYS = [..."123456789", ..."abcdefghijklmnopqrtvwy"]; // s, u, x, z do something else
const WHY = {
  disagreement: "the shadow model says otherwise",
  abstained: "the model was too unsure to answer",
  low_margin: "two labels were nearly as probable",
  random: "drawn at random",
  periodic: "taken from time to time",
};
const ask = asker("edgenode label does not answer: has it been ended? Start it again; nothing is lost.");

let queue = { pictures: [], labels: [], multi_label: false, out: "" };
let here = 0; // the picture that is shown; the number of pictures where all are answered
let zoom = 1;
let chosen = new Set(); // of several labels at once: what is pressed and not yet confirmed
let busy = false;
const past = []; // [picture, what had been said of it before], the latest last

async function attempt(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    at("message").textContent = "";
  } catch (error) {
    at("message").textContent = error.message;
  } finally {
    busy = false;
  }
}

const told = (answer) =>
  !answer ? "no answer" : answer.unusable ? "unusable" : answer.labels.join(", ") || "none of the labels";

function sent(answer) {
  return answer === null ? null : answer.unusable ? "unusable" : answer.labels;
}

async function say(number, answer, remember = true) {
  const picture = queue.pictures[number];
  const before = picture.answer;
  const reply = await ask("/api/answer", { picture: String(number), answer });
  picture.answer = reply.answer;
  if (remember) past.push([number, before]);
  at("said").textContent = `${told(picture.answer)}. ${summary()}`;
}

function answer(what) {
  if (here >= queue.pictures.length) return;
  attempt(async () => {
    await say(here, what);
    show(unanswered(here + 1));
  });
}

function undo() {
  const last = past.at(-1);
  if (!last) return;
  attempt(async () => {
    await say(last[0], sent(last[1]), false);
    past.pop();
    show(last[0]);
  });
}

// The next picture without an answer from `start` on, round to the beginning; past the end where there is none.
function unanswered(start) {
  const count = queue.pictures.length;
  for (let step = 0; step < count; step += 1) {
    const number = (start + step) % count;
    if (!queue.pictures[number].answer) return number;
  }
  return count;
}

function summary() {
  const answered = queue.pictures.filter((picture) => picture.answer).length;
  return `${answered} of ${queue.pictures.length} answered`;
}

function press(label) {
  if (!queue.multi_label) return answer([label]);
  if (chosen.has(label)) chosen.delete(label);
  else chosen.add(label);
  drawLabels();
}

function drawLabels() {
  const said = queue.pictures[here]?.answer;
  at("labels").replaceChildren(
    ...queue.labels.map((label, index) => {
      const pressed = queue.multi_label ? chosen.has(label) : Boolean(said?.labels.includes(label));
      const button = make("button", undefined, { type: "button", "aria-pressed": pressed });
      const count = queue.pictures.filter((each) => each.answer?.labels.includes(label)).length;
      button.append(make("kbd", KEYS[index] ?? ""), make("span", label, { class: "name" }), make("span", count));
      button.addEventListener("click", () => press(label));
      button.disabled = here >= queue.pictures.length;
      return button;
    }),
  );
}

function drawFacts(picture) {
  const facts = [];
  if (picture) facts.push(["your answer", told(picture.answer)]);
  if (picture?.why) {
    facts.push(["kept because", WHY[picture.why] ?? picture.why], ["model", picture.model]);
    if (picture.shadow) {
      const { label, probability } = picture.shadow;
      facts.push(["its shadow", `${label} ${(probability * 100).toFixed(1)} %`]);
    }
    facts.push(["from", `${picture.camera}.${picture.region}`], ["at", picture.at.replace("+00:00", " UTC").replace("T", " ")]);
  } else if (picture) facts.push(["model", "no model has looked at it"]);
  if (picture) facts.push(["file", picture.name]);
  at("facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  const scores = Object.entries(picture?.probabilities ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 6);
  at("scores").replaceChildren(
    ...scores.map(([label, probability]) => {
      const row = make("li");
      const bar = make("meter", undefined, { min: 0, max: 1, value: probability, "aria-label": label });
      row.append(make("span", label, { title: label }), bar, make("span", `${(probability * 100).toFixed(1)} %`));
      return row;
    }),
  );
}

function show(number) {
  here = number;
  const picture = queue.pictures[here];
  chosen = new Set(picture?.answer?.labels ?? []);
  at("done").classList.toggle("hidden", Boolean(picture));
  at("picture").classList.toggle("hidden", !picture);
  if (picture) {
    at("picture").src = `/picture/${here}`;
    at("picture").alt = `Picture ${here + 1} of ${queue.pictures.length}`;
    const following = unanswered(here + 1);
    if (following < queue.pictures.length) new Image().src = `/picture/${following}`;
  }
  const answered = queue.pictures.filter((each) => each.answer).length;
  at("progress").max = Math.max(1, queue.pictures.length);
  at("progress").value = answered;
  at("count").textContent = `${summary()}${picture ? ` · picture ${here + 1}` : ""}`;
  for (const id of ["unusable", "skip", "confirm"]) at(id).disabled = !picture;
  at("undo").disabled = past.length === 0;
  at("unusable").setAttribute("aria-pressed", Boolean(picture?.answer?.unusable));
  drawLabels();
  drawFacts(picture);
}

function size() {
  const image = at("picture");
  if (!image.naturalWidth) return;
  const room = at("stage").getBoundingClientRect();
  const fit = Math.min((room.width - 40) / image.naturalWidth, (room.height - 40) / image.naturalHeight);
  const stage = at("stage");
  image.style.width = `${Math.max(1, Math.round(image.naturalWidth * Math.min(fit, 12) * zoom))}px`;
  stage.scrollTo((stage.scrollWidth - stage.clientWidth) / 2, (stage.scrollHeight - stage.clientHeight) / 2);
}

const move = (step) => show(Math.max(0, Math.min(queue.pictures.length, here + step)));
const actions = {
  unusable: () => answer("unusable"),
  skip: () => show(unanswered(here + 1)),
  undo,
  zoom: () => { zoom = zoom >= 4 ? 1 : zoom * 2; size(); },
  back: () => move(-1),
  next: () => move(1),
  confirm: () => queue.multi_label && answer([...chosen]),
};
const KEY_ACTIONS = {
  x: "unusable", s: "skip", u: "undo", Backspace: "undo", z: "zoom", ArrowLeft: "back", ArrowRight: "next",
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "INPUT") return;
  if (event.repeat && event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const index = KEYS.indexOf(event.key);
  const onButton = event.target.tagName === "BUTTON";
  if (index >= 0 && index < queue.labels.length) press(queue.labels[index]);
  else if (KEY_ACTIONS[event.key]) actions[KEY_ACTIONS[event.key]]();
  else if (event.key === "Enter" && !onButton) actions.confirm();
  else return;
  event.preventDefault();
});
for (const [id, act] of Object.entries(actions)) at(id).addEventListener("click", act);
at("picture").addEventListener("load", size);
at("picture").addEventListener("error", () => {
  at("message").textContent = "This picture cannot be shown: the node may have dropped it for newer ones. Skip it.";
});
new ResizeObserver(size).observe(at("stage"));
at("add").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    queue.labels = (await ask("/api/label", { label: at("new").value.trim() })).labels;
    at("new").value = "";
    at("new").blur();
    drawLabels();
  });
});
attempt(async () => {
  queue = await ask("/api/queue");
  at("confirm").classList.toggle("hidden", !queue.multi_label);
  const data = queue.multi_label ? `${queue.out}/labels.csv` : queue.out;
  at("fit").textContent = `edgenode-trainer fit ${data} --out model.onnx`;
  show(unanswered(0));
});
