/** The wall of cameras: one card each, made and painted a few at a time, visible ones first. */

import { cameraLevel } from "../alarms";
import { byId, h, setText } from "../dom";
import type { CameraView, Fleet, RegionView } from "../fleet";
import { at, number, percent, plural } from "../format";
import { PictureFrame } from "./picture";
import { keepOneStop, roving } from "./roving";
import { Status } from "./status";

/** Cards made or painted in one go: about 4 ms of work on a slow machine. */
const MADE_AT_ONCE = 16;
const PAINTED_AT_ONCE = 32;
const SHOWN_REGIONS = 4;
const OPEN = "li:not([hidden]) button.open";

class Card {
  readonly element = h("li", { class: "camera" });
  readonly picture = new PictureFrame();
  visible = false;
  private readonly open = h("button", { class: "open", type: "button", tabindex: "-1" });
  private readonly name = h("h3");
  private readonly status = new Status();
  private readonly facts = h("p", { class: "facts" });
  private readonly regions = h("ul", { class: "regions" });
  private readonly rows = new Map<string, RegionRow>();
  private readonly more = h("li", { class: "more", hidden: true });

  constructor(readonly camera: CameraView) {
    this.element.dataset["key"] = camera.key;
    setText(this.name, camera.name);
    this.open.append(this.picture.element);
    this.element.append(
      this.open,
      h("div", { class: "card-head" }, this.name, this.status.element),
      this.facts,
      this.regions,
    );
    this.regions.append(this.more);
  }

  paint(nodeIsUp: boolean): void {
    const { camera } = this;
    const state = camera.state;
    if (nodeIsUp) this.status.show(cameraLevel(state?.state), state?.state ?? "not heard yet");
    else this.status.show("off", "node is away");
    const facts = [camera.node];
    if (state) facts.push(`${number(state.fps)} fps`);
    if (camera.picture) facts.push(`picture ${at(camera.picture.atMs)}`);
    setText(this.facts, facts.join(" · "));
    this.open.setAttribute("aria-label", `${camera.name} of ${camera.node}, ${state?.state ?? "not heard yet"}: open`);
    if (this.visible) this.picture.show(camera);
    this.paintRegions([...camera.regions.values()]);
  }

  private paintRegions(regions: RegionView[]): void {
    const shown = regions.slice(0, SHOWN_REGIONS);
    for (const [name, row] of this.rows) {
      if (!shown.some((region) => region.name === name)) {
        row.element.remove();
        this.rows.delete(name);
      }
    }
    for (const region of shown) {
      let row = this.rows.get(region.name);
      if (!row) {
        row = new RegionRow(region.name);
        this.rows.set(region.name, row);
        this.more.before(row.element);
      }
      row.paint(region);
    }
    this.more.hidden = regions.length <= SHOWN_REGIONS;
    setText(this.more, `and ${plural(regions.length - SHOWN_REGIONS, "region")} more`);
  }
}

class RegionRow {
  readonly element = h("li", { class: "region" });
  private readonly label = h("b");
  private readonly share = h("span", { class: "share" });
  private readonly bar = h("i", { class: "bar", "aria-hidden": "true" });

  constructor(name: string) {
    this.element.append(h("span", { class: "region-name" }, name), this.label, this.share, this.bar);
  }

  paint(region: RegionView): void {
    const state = region.state;
    setText(this.label, state?.label ?? "–");
    const sure = region.sure ?? state?.probability ?? 0;
    setText(this.share, state ? percent(sure) : "");
    this.bar.style.setProperty("--share", sure.toFixed(3));
    const model = state?.model?.name ?? region.info?.model ?? "";
    this.element.title = state ? `${model}: since ${at(Date.parse(state.since))}` : model;
    this.element.classList.toggle("alerted", region.open.size > 0);
    this.element.classList.toggle("unsure", state?.label === "unknown" || state?.label === "invalid");
  }
}

export class CamerasView {
  private readonly list = byId("camera-list");
  private readonly empty = byId("camera-empty");
  private readonly count = byId("camera-count");
  private readonly search = byId<HTMLInputElement>("camera-search");
  private readonly problems = byId<HTMLInputElement>("camera-problems");
  private readonly cards = new Map<string, Card>();
  private readonly observer: IntersectionObserver;
  private filterChanged = true;

  constructor(
    private readonly fleet: Fleet,
    onOpen: (key: string) => void,
    private readonly repaint: () => void,
  ) {
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "200px" });
    roving(this.list, OPEN);
    this.list.addEventListener("click", (event) => {
      const card = (event.target as HTMLElement).closest<HTMLElement>("li.camera");
      if (card) onOpen(card.dataset["key"]!);
    });
    for (const control of [this.search, this.problems]) {
      control.addEventListener("input", () => {
        this.filterChanged = true;
        repaint();
      });
    }
  }

  /** Cameras that can be seen now. */
  visible(): CameraView[] {
    return [...this.cards.values()].filter((card) => card.visible).map((card) => card.camera);
  }

  /** Answers whether there is more to do. */
  paint(): boolean {
    let rest = this.fleet.reshaped ? this.reshape() : false;
    let budget = PAINTED_AT_ONCE;
    const { dirty } = this.fleet;
    for (const wanted of [true, false]) {
      for (const key of dirty) {
        const card = this.cards.get(key);
        if (!card) continue; // not made yet: it is painted when it is
        if (card.visible !== wanted) continue;
        if (budget-- <= 0) {
          rest = true;
          break;
        }
        dirty.delete(key);
        card.paint(this.fleet.nodeIsUp(card.camera.node));
        if (this.problems.checked) this.filterChanged = true;
      }
    }
    this.paintMoved();
    if (this.filterChanged) this.filter();
    return rest;
  }

  private paintMoved(): void {
    const { moved } = this.fleet;
    for (const key of moved) {
      const card = this.cards.get(key);
      if (card?.visible) card.paint(this.fleet.nodeIsUp(card.camera.node));
    }
    moved.clear(); // what is not seen is painted when it comes into view
  }

  private reshape(): boolean {
    const wanted = this.fleet.list();
    const keys = new Set(wanted.map((camera) => camera.key));
    for (const [key, card] of this.cards) {
      if (keys.has(key) && this.fleet.cameras.get(key) === card.camera) continue;
      this.observer.unobserve(card.element);
      card.picture.close();
      card.element.remove();
      this.cards.delete(key);
    }
    let made = 0;
    let before: Element | null = this.list.firstElementChild;
    for (const camera of wanted) {
      let card = this.cards.get(camera.key);
      if (!card) {
        if (made >= MADE_AT_ONCE) continue;
        made++;
        card = new Card(camera);
        this.cards.set(camera.key, card);
        card.paint(this.fleet.nodeIsUp(camera.node));
        this.fleet.dirty.delete(camera.key);
        this.observer.observe(card.element);
      }
      if (card.element === before) before = before.nextElementSibling;
      else this.list.insertBefore(card.element, before);
    }
    this.filterChanged = true;
    this.fleet.reshaped = this.cards.size < wanted.length;
    return this.fleet.reshaped;
  }

  private filter(): void {
    this.filterChanged = false;
    const text = this.search.value.trim().toLowerCase();
    let shown = 0;
    for (const card of this.cards.values()) {
      const { camera } = card;
      const level = this.fleet.nodeIsUp(camera.node) ? cameraLevel(camera.state?.state) : "critical";
      const troubled =
        level === "warning" || level === "critical" ||
        [...camera.regions.values()].some((region) => region.open.size > 0);
      const fits = (!this.problems.checked || troubled) && (!text || camera.key.toLowerCase().includes(text));
      card.element.hidden = !fits;
      if (fits) shown++;
    }
    const all = this.cards.size;
    setText(this.count, shown === all ? String(all) : `${shown} of ${all}`);
    this.empty.hidden = shown > 0;
    setText(
      this.empty,
      all > 0 ? "No camera fits the filter." : "No camera has been heard yet. They appear by themselves.",
    );
    keepOneStop(this.list, OPEN);
  }

  private seen(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const card = this.cards.get((entry.target as HTMLElement).dataset["key"]!);
      if (!card) continue;
      card.visible = entry.isIntersecting;
      if (card.visible) this.fleet.dirty.add(card.camera.key);
      else card.picture.close();
    }
    this.repaint();
  }
}
