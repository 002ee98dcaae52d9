/**
 * A list of events, newest first, at most `limit` rows. It stands still while somebody reads it: with the pointer or the
 * focus inside, or scrolled down, new events wait behind a button.
 */

import type { Level } from "../alarms";
import { h, setText } from "../dom";
import type { EventLog, LoggedEvent } from "../event_log";
import { at, duration, percent, plural, words } from "../format";
import { keepOneStop, roving } from "./roving";
import { glyph } from "./status";

const ROW = "button.event";

export const SEVERITY_LEVELS: Record<string, Level> = { info: "info", warning: "warning", critical: "critical" };

class Row {
  readonly element = h("li");
  private readonly button = h("button", { class: "event", type: "button", tabindex: "-1" });
  private readonly when = h("span", { class: "lasted" });
  private readonly label = h("span", { class: "what" });
  private readonly thumb = h("span", { class: "thumb" });
  private url = "";

  constructor(readonly event: LoggedEvent) {
    const { step } = event;
    const place = [step.camera, step.region].filter(Boolean).join(" · ");
    this.button.dataset["id"] = event.id;
    this.button.append(
      glyph(SEVERITY_LEVELS[step.severity] ?? "info"),
      h(
        "span",
        { class: "event-text" },
        h("span", { class: "event-title" }, h("b", {}, words(step.rule)), h("span", { class: "sev" }, step.severity)),
        h("span", { class: "event-place" }, [event.node, place].filter(Boolean).join(" · ")),
        h("span", { class: "event-facts" }, h("time", {}, at(event.startedMs)), this.label, this.when),
      ),
      this.thumb,
    );
    this.element.append(this.button);
    this.paint();
  }

  paint(): void {
    const { step, endedMs, startedMs, picture } = this.event;
    this.button.classList.toggle("running", endedMs === null);
    setText(this.when, endedMs === null ? "open" : duration(endedMs - startedMs));
    setText(this.label, step.label ? `${step.label} ${step.probability === null ? "" : percent(step.probability)}` : "");
    if (Boolean(picture) === Boolean(this.url)) return;
    if (picture) {
      this.url = URL.createObjectURL(picture);
      this.thumb.replaceChildren(h("img", { src: this.url, alt: "", decoding: "async", loading: "lazy" }));
    } else this.close();
  }

  close(): void {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.thumb.replaceChildren();
  }
}

export class FeedView {
  private readonly rows = new Map<string, Row>();
  private readonly note: HTMLButtonElement;
  private readonly empty = h("p", { class: "empty" });
  private hovered = false;
  private fits: (event: LoggedEvent) => boolean = () => true;
  private release = false;

  constructor(
    private readonly log: EventLog,
    private readonly scroller: HTMLElement,
    private readonly list: HTMLElement,
    private readonly limit: number,
    onOpen: (id: string) => void,
    repaint: () => void,
  ) {
    this.note = h("button", { class: "newer", type: "button", hidden: true });
    this.list.before(this.note, this.empty);
    roving(this.list, ROW);
    this.list.addEventListener("click", (event) => {
      const row = (event.target as HTMLElement).closest<HTMLElement>(ROW);
      if (row) onOpen(row.dataset["id"]!);
    });
    this.list.addEventListener("pointerenter", () => (this.hovered = true));
    this.list.addEventListener("pointerleave", () => {
      this.hovered = false;
      repaint();
    });
    this.list.addEventListener("focusout", repaint);
    this.scroller.addEventListener("scroll", () => this.scroller.scrollTop < 4 && repaint(), { passive: true });
    this.note.addEventListener("click", () => {
      this.release = true;
      this.scroller.scrollTop = 0;
      repaint();
    });
  }

  /** Shows only what `fits`. */
  filter(fits: (event: LoggedEvent) => boolean): void {
    this.fits = fits;
    this.release = true;
  }

  paint(changed: Iterable<string>): void {
    const wanted: LoggedEvent[] = [];
    for (const event of this.log.newest()) {
      if (this.fits(event)) wanted.push(event);
      if (wanted.length >= this.limit) break;
    }
    const ids = new Set(wanted.map((event) => event.id));
    const newer = wanted.filter((event) => !this.rows.has(event.id)).length;
    const held = this.isRead() && !this.release && this.rows.size > 0 && newer > 0;
    if (!held) {
      this.release = false;
      this.renew(wanted, ids);
    }
    for (const id of changed) this.rows.get(id)?.paint();
    this.note.hidden = !held;
    if (held) setText(this.note, newer >= this.limit ? `more than ${this.limit} newer` : `${plural(newer, "newer event")}: show`);
    this.empty.hidden = this.rows.size > 0;
    setText(
      this.empty,
      this.log.size ? "No event fits the filter." : "No event since this page was opened. They appear by themselves.",
    );
    keepOneStop(this.list, ROW);
  }

  private renew(wanted: LoggedEvent[], ids: Set<string>): void {
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.close();
      row.element.remove();
      this.rows.delete(id);
    }
    let before = this.list.firstElementChild;
    for (const event of wanted) {
      let row = this.rows.get(event.id);
      if (!row) {
        row = new Row(event);
        this.rows.set(event.id, row);
      }
      if (row.element === before) before = before.nextElementSibling;
      else this.list.insertBefore(row.element, before);
    }
  }

  private isRead(): boolean {
    return this.hovered || this.list.contains(document.activeElement) || this.scroller.scrollTop > 4;
  }
}
