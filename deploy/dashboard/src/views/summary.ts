/** The numbers on top: what an operator sees in one look. */

import { type Alarm, cameraLevel } from "../alarms";
import { byId, h, setText, svg } from "../dom";
import type { EventLog } from "../event_log";
import type { Fleet } from "../fleet";
import { bytes, milliseconds, number, plural } from "../format";
import type { VitalsWatch } from "../vitals";
import { Status } from "./status";

const WIDTH = 96;
const HEIGHT = 24;

class Tile {
  readonly element = h("li", { class: "tile" });
  private readonly value = h("span", { class: "tile-value" });
  private readonly note = h("span", { class: "tile-note" });
  private readonly line = svg("polyline");
  private readonly chart = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    this.line,
  );
  private drawn = "";

  constructor(title: string, charted: boolean) {
    this.element.append(h("span", { class: "tile-title" }, title), this.value, this.note);
    if (charted) this.element.append(this.chart);
  }

  show(value: string, note: string, history?: (number | null)[]): void {
    setText(this.value, value);
    this.value.classList.toggle("in-words", /^[a-z ]+$/i.test(value));
    setText(this.note, note);
    if (!history) return;
    const known = history.filter((each) => each !== null);
    const most = Math.max(...known, 1e-9);
    const step = WIDTH / Math.max(1, known.length - 1);
    const points = known.map((each, i) => `${(i * step).toFixed(1)},${(HEIGHT - 2 - (each / most) * (HEIGHT - 4)).toFixed(1)}`);
    const drawn = known.length > 2 ? points.join(" ") : "";
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.line.setAttribute("points", drawn);
  }
}

export class SummaryView {
  private readonly overall = new Status();
  private readonly cameras = new Tile("Cameras", false);
  private readonly events = new Tile("Events a minute", true);
  private readonly inferences = new Tile("Classified a second", true);
  private readonly latency = new Tile("Capture to broker", true);
  private readonly power = new Tile("Power", true);
  private readonly outbox = new Tile("Outbox", true);

  constructor(
    private readonly fleet: Fleet,
    private readonly log: EventLog,
    private readonly vitals: VitalsWatch,
  ) {
    byId("overall").append(this.overall.element);
    byId("tiles").append(
      ...[this.cameras, this.events, this.inferences, this.latency, this.power, this.outbox].map((tile) => tile.element),
    );
  }

  paint(alarms: Alarm[], nowMs: number): void {
    const { fleet, log } = this;
    const critical = alarms.filter((alarm) => alarm.level === "critical").length;
    if (fleet.nodes.size === 0) this.overall.show("off", "nothing heard yet");
    else if (alarms.length === 0) this.overall.show("ok", "all is well");
    else this.overall.show(critical ? "critical" : "warning", plural(alarms.length, "alarm"));
    const up = [...fleet.cameras.values()].filter(
      (camera) => fleet.nodeIsUp(camera.node) && cameraLevel(camera.state?.state) === "ok",
    ).length;
    this.cameras.show(`${up} of ${fleet.cameras.size}`, `deliver pictures to ${plural(fleet.nodes.size, "node")}`);
    const minutes = log.perMinute.list(nowMs);
    const lastMinute = log.perSecond.sum(nowMs, 60);
    this.events.show(number(lastMinute), `${log.openCount()} open now`, minutes);
    this.paintVitals(nowMs);
  }

  private paintVitals(nowMs: number): void {
    const { now, history } = this.vitals;
    const heard = this.fleet.classified.sum(nowMs, 10) / 10;
    if (!now) {
      const delay = this.fleet.delays.quantile(0.5);
      this.inferences.show(number(heard), "heard on the broker");
      this.latency.show(milliseconds(delay), "capture to this page, median, if clocks agree");
    } else {
      this.inferences.show(number(now.inferencesPerS), `${number(now.framesPerS)} pictures a second`, history.inferencesPerS);
      this.latency.show(
        milliseconds(now.publishP95S),
        now.publishP50S === null ? "no event measured yet" : `slowest 5 %; median ${milliseconds(now.publishP50S)}`,
        history.publishP95S,
      );
    }
    this.power.element.hidden = this.outbox.element.hidden = !now;
    if (!now) return;
    const perInference = now.joulesPerInference === null ? "" : `; ${number(now.joulesPerInference * 1000)} mJ each`;
    if (now.watts === null) {
      this.power.show("not measured", `no energy meter; ${number(now.cores)} processors busy`);
    } else this.power.show(`${number(now.watts)} W`, `by ${now.powerSource}${perInference}`, history.watts);
    this.outbox.show(
      number(now.outboxMessages),
      now.evicted ? `${number(now.evicted)} given up` : `waiting; ${bytes(now.outboxBytes ?? 0)} on disk`,
      history.outboxMessages,
    );
  }
}
