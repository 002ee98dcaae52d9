/** One event in full, with its evidence. */

import { byId, h, setText } from "../dom";
import type { EventLog } from "../event_log";
import { atFull, duration, number, percent, words } from "../format";
import { SEVERITY_LEVELS } from "./feed";
import { Status } from "./status";

export class EventDialog {
  private readonly dialog = byId<HTMLDialogElement>("event-dialog");
  private readonly title = byId("event-title");
  private readonly picture = byId("event-picture");
  private readonly facts = byId("event-facts");
  private readonly status = new Status();
  private id: string | null = null;
  private url = "";

  constructor(private readonly log: EventLog) {
    byId("event-status").append(this.status.element);
    this.dialog.addEventListener("close", () => {
      this.id = null;
      this.forget();
    });
  }

  open(id: string): void {
    if (!this.log.get(id)) return;
    this.id = id;
    this.forget();
    this.paint();
    this.dialog.showModal();
  }

  paint(): void {
    const event = this.id === null ? undefined : this.log.get(this.id);
    if (!event) return;
    const { step } = event;
    setText(this.title, words(step.rule));
    this.status.show(SEVERITY_LEVELS[step.severity] ?? "info", `${step.severity}, ${event.endedMs === null ? "open" : "over"}`);
    if (event.picture && !this.url) {
      this.url = URL.createObjectURL(event.picture);
      this.picture.replaceChildren(h("img", { src: this.url, alt: `Evidence picture of ${words(step.rule)}` }));
    } else if (!event.picture && !this.url) {
      const why = step.evidence ? "The evidence picture has not come." : "This rule keeps no picture.";
      this.picture.replaceChildren(h("p", { class: "empty" }, why));
    }
    const rows: [string, string | null][] = [
      ["Node", event.node],
      ["Camera", step.camera],
      ["Region", step.region],
      ["Label", step.label && `${step.label}, ${percent(step.probability)}`],
      ["Value", step.value === null ? null : number(step.value)],
      ["Began", atFull(event.startedMs)],
      ["Ended", event.endedMs === null ? null : atFull(event.endedMs)],
      ["Lasted", event.endedMs === null ? null : duration(event.endedMs - event.startedMs)],
      ["Why", step.reason],
      ["Model", step.model && `${step.model.name} ${step.model.version} (${step.model.sha256.slice(0, 8)})`],
      ["Clock", step.clock === "synchronised" ? null : "the gateway's clock is not synchronised"],
      ["Evidence", event.picture ? "its fingerprint is the one the event names" : null],
      ["Id", `${event.id}, message ${step.seq}`],
    ];
    this.facts.replaceChildren(
      ...rows
        .filter(([, value]) => value)
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    );
  }

  private forget(): void {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.picture.replaceChildren();
  }
}
