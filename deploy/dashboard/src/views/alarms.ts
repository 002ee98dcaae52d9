/** The list of alarms. It is there only while there are any. */

import type { Alarm } from "../alarms";
import { byId, h } from "../dom";
import { at } from "../format";
import { glyph } from "./status";

export class AlarmsView {
  private readonly section = byId("alarms");
  private readonly list = byId("alarm-list");
  private painted = "";
  private known = new Set<string>();
  private first = true;

  constructor(
    private readonly onOpen: (camera: string) => void,
    private readonly announce: (text: string) => void,
  ) {}

  paint(alarms: Alarm[]): void {
    const painted = JSON.stringify(alarms);
    if (painted === this.painted) return;
    this.painted = painted;
    this.section.hidden = alarms.length === 0;
    const focused = this.list.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset["id"]
      : undefined;
    this.list.replaceChildren(...alarms.map((alarm) => this.row(alarm)));
    if (focused) this.list.querySelector<HTMLElement>(`[data-id="${CSS.escape(focused)}"]`)?.focus();
    this.tell(alarms);
  }

  private row(alarm: Alarm): HTMLElement {
    const text = h(
      "span",
      { class: "alarm-text" },
      h("b", {}, alarm.title),
      alarm.reason ? h("span", {}, alarm.reason) : null,
    );
    const since = alarm.sinceMs === null ? null : h("time", {}, `since ${at(alarm.sinceMs)}`);
    const camera = alarm.camera;
    if (camera === null) {
      return h("li", { class: `alarm ${alarm.level}` }, glyph(alarm.level), text, since);
    }
    const open = h("button", { type: "button", class: "link", "data-id": alarm.id, "aria-label": `Open ${camera}` }, "Open");
    open.addEventListener("click", () => this.onOpen(camera));
    return h("li", { class: `alarm ${alarm.level}` }, glyph(alarm.level), text, since, open);
  }

  private tell(alarms: Alarm[]): void {
    const fresh = alarms.filter((alarm) => !this.known.has(alarm.id));
    if (fresh.length > 3) this.announce(`${fresh.length} new alarms`);
    else if (fresh.length > 0) this.announce(`Alarm: ${fresh.map((alarm) => alarm.title).join(", ")}`);
    else if (alarms.length === 0 && !this.first) this.announce("No alarm is left");
    this.first = false;
    this.known = new Set(alarms.map((alarm) => alarm.id));
  }
}
