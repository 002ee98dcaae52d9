/** Every node: state, version, models with their shadows; and what the node that serves this page measures of itself. */

import { nodeLevel } from "../alarms";
import { byId, h } from "../dom";
import type { Fleet, NodeView } from "../fleet";
import { at, atFull, bytes, duration, milliseconds, number, percent, plural } from "../format";
import { type ModelReference, type ModelState, isModel } from "../payloads";
import type { Options, Served } from "../options";
import { DRIFT_LIMIT, type Vitals, type VitalsWatch } from "../vitals";
import { Status } from "./status";

export class NodesView {
  private readonly list = byId("node-list");
  private readonly empty = byId("node-empty");

  constructor(
    private readonly fleet: Fleet,
    private readonly vitals: VitalsWatch,
    private readonly served: Served | null,
    private readonly options: () => Options,
  ) {}

  paint(nowMs: number): void {
    const nodes = [...this.fleet.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.empty.hidden = nodes.length > 0;
    this.list.replaceChildren(...nodes.map((node) => this.node(node, nowMs)));
  }

  private node(node: NodeView, nowMs: number): HTMLElement {
    const { state, info } = node;
    const status = new Status();
    status.show(nodeLevel(state?.state), state?.state ?? "not heard yet");
    const cameras = [...this.fleet.cameras.values()].filter((camera) => camera.node === node.name).length;
    const started = info?.started_at ? Date.parse(info.started_at) : null;
    const up = started !== null && this.fleet.nodeIsUp(node.name) ? duration(nowMs - started) : "–";
    const own = this.served?.node === node.name && this.options().base === this.served.base;
    const rows: [string, string][] = [
      ["Version", state?.version ?? info?.version ?? "–"],
      ["Running for", up],
      [`${state?.state ?? "State"} since`, at(state ? Date.parse(state.since) : null)],
      ["Cameras", String(cameras)],
      ["Rules", info?.rules?.join(", ") || "–"],
      ["Runs on", [info?.machine, info?.provider].filter(Boolean).join(", ") || "–"],
    ];
    return h(
      "li",
      { class: "node" },
      h("div", { class: "card-head" }, h("h3", {}, node.name), status.element),
      state?.reason ? h("p", { class: "reason" }, state.reason) : null,
      facts(rows, started === null ? "" : `started ${atFull(started)}`),
      own && this.vitals.now ? vitalsOf(this.vitals.now) : null,
      own && this.vitals.fault ? h("p", { class: "reason" }, `/metrics: ${this.vitals.fault}`) : null,
      models(node),
    );
  }
}

function facts(rows: [string, string][], title = ""): HTMLElement {
  const list = h("dl", { class: "facts-list", title });
  for (const [name, value] of rows) list.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  return list;
}

function vitalsOf(now: Vitals): HTMLElement {
  const rows: [string, string][] = [
    ["Inference, slowest 5 %", milliseconds(now.inferP95S)],
    ["Capture to broker", `${milliseconds(now.publishP50S)} median, ${milliseconds(now.publishP95S)} slowest 5 %`],
    ["Samples dropped", now.droppedPerS === null ? "–" : `${number(now.droppedPerS)} a second`],
    ["Processors busy", number(now.cores)],
    ["Memory", now.memoryBytes === null ? "–" : bytes(now.memoryBytes)],
    ["Power", now.watts === null ? "not measured: no meter" : `${number(now.watts)} W (${now.powerSource})`],
    ["Energy", now.joulesPerInference === null ? "not measured" : `${number(now.joulesPerInference * 1000)} mJ a classification`],
    ["Outbox", `${number(now.outboxMessages)} waiting, ${number(now.evicted ?? 0)} given up`],
    ...now.drift.map(({ model, psi }): [string, string] => [
      `Drift of ${model}`,
      `${number(psi)}${psi > DRIFT_LIMIT ? ", look at it" : ""}`,
    ]),
  ];
  return h("div", {}, h("h4", {}, "Measured by this node"), facts(rows));
}

function models(node: NodeView): HTMLElement | null {
  const known = new Map<string, ModelState | ModelReference>();
  for (const model of node.info?.models ?? []) if (isModel(model)) known.set(model.name, model);
  for (const [name, model] of node.models) known.set(name, model);
  if (known.size === 0) return null;
  const rows = [...known].map(([name, model]) => {
    const card = "card" in model ? model.card : undefined;
    const shadow = "shadow" in model ? model.shadow : undefined;
    const proof = card?.accuracy?.value ?? card?.macro_f1;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", {}, model.version),
      h("td", { title: model.sha256 }, h("code", {}, model.sha256.slice(0, 8))),
      h("td", {}, typeof proof !== "number" ? "–" : `${percent(proof)} of ${plural(card?.test_samples ?? 0, "picture")}`),
      h("td", { title: shadow?.sha256 }, shadow ? `${shadow.version} (${shadow.sha256.slice(0, 8)})` : "none"),
    );
  });
  const head = ["Model", "Version", "File", "Right in its test", "Shadow"].map((text) => h("th", { scope: "col" }, text));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": `Models of ${node.name}` },
    h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)),
  );
}
