/** What the node that serves this page measures of itself: its /metrics, asked every few seconds while somebody looks. */

import { Scrape, quantile, rate } from "./exposition";

export const POLL_MS = 5000;
const FIRST_MS = 1000;
const KEPT = 61;
/** Drift above it calls for a look (docs/metrics.md). */
export const DRIFT_LIMIT = 0.25;

export interface Vitals {
  framesPerS: number | null;
  inferencesPerS: number | null;
  publishP50S: number | null;
  publishP95S: number | null;
  inferP95S: number | null;
  watts: number | null;
  powerSource: string | null;
  joulesPerInference: number | null;
  cores: number | null;
  outboxMessages: number | null;
  outboxBytes: number | null;
  evicted: number | null;
  connected: boolean | null;
  droppedPerS: number | null;
  memoryBytes: number | null;
  drift: { model: string; psi: number }[];
}

export class VitalsWatch {
  /** Null until the first answer, and where the page was not served by a node. */
  now: Vitals | null = null;
  /** What went wrong with the last request; empty while all is well. */
  fault = "";
  /** Of the last five minutes, oldest first; null where nothing was measured. */
  readonly history: Record<"inferencesPerS" | "watts" | "publishP95S" | "outboxMessages", (number | null)[]> = {
    inferencesPerS: [],
    watts: [],
    publishP95S: [],
    outboxMessages: [],
  };
  private readonly scrapes: Scrape[] = [];

  constructor(private readonly told: () => void) {}

  start(): void {
    const poll = async (): Promise<void> => {
      if (!document.hidden) await this.ask();
      // a rate needs two answers: the second one comes soon
      setTimeout(() => void poll(), this.scrapes.length < 2 ? FIRST_MS : POLL_MS);
    };
    void poll();
  }

  private async ask(): Promise<void> {
    try {
      const answer = await fetch("metrics", { cache: "no-store", signal: AbortSignal.timeout(POLL_MS) });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      this.take(new Scrape(await answer.text(), Date.now()));
      this.fault = "";
    } catch (error) {
      this.fault = error instanceof Error ? error.message : String(error);
    }
    this.told();
  }

  private take(scrape: Scrape): void {
    const started = (each: Scrape | undefined): number | null => each?.sum("process_start_time_seconds") ?? null;
    if (started(this.scrapes.at(-1)) !== started(scrape)) this.scrapes.length = 0; // another life
    this.scrapes.push(scrape);
    if (this.scrapes.length > KEPT) this.scrapes.shift();
    const last = this.scrapes.at(-2) ?? scrape;
    const minute = this.scrapes.at(-13) ?? this.scrapes[0]!;
    const oldest = this.scrapes[0]!;
    // the first scrape alone tells of the time since the start
    const since = this.scrapes.length > 1 ? oldest : new Scrape("", scrape.atMs);
    const power = scrape.all("edgenode_power_watts")[0];
    const joules = rate(minute, scrape, "edgenode_inference_joules_total");
    const inferences = rate(minute, scrape, "edgenode_inferences_total");
    const connected = scrape.sum("edgenode_mqtt_connected");
    this.now = {
      framesPerS: rate(last, scrape, "edgenode_frames_total"),
      inferencesPerS: rate(last, scrape, "edgenode_inferences_total"),
      publishP50S: quantile(since, scrape, "edgenode_capture_to_publish_seconds", 0.5),
      publishP95S: quantile(since, scrape, "edgenode_capture_to_publish_seconds", 0.95),
      inferP95S: quantile(since, scrape, "edgenode_stage_seconds", 0.95, { stage: "infer" }),
      watts: power ? scrape.sum("edgenode_power_watts", { source: power.labels["source"] ?? "" }) : null,
      powerSource: power?.labels["source"] ?? null,
      joulesPerInference: joules !== null && inferences ? joules / inferences : null,
      cores: rate(minute, scrape, "edgenode_cpu_seconds_total"),
      outboxMessages: scrape.sum("edgenode_outbox_messages"),
      outboxBytes: scrape.sum("edgenode_outbox_bytes"),
      evicted: scrape.sum("edgenode_outbox_evicted_total"),
      connected: connected === null ? null : connected > 0,
      droppedPerS: rate(minute, scrape, "edgenode_samples_dropped_total"),
      memoryBytes: scrape.sum("process_resident_memory_bytes"),
      drift: scrape
        .all("edgenode_drift_psi")
        .map((sample) => ({ model: sample.labels["model"] ?? "", psi: sample.value })),
    };
    for (const name of Object.keys(this.history) as (keyof typeof this.history)[]) {
      this.history[name].push(this.now[name]);
      if (this.history[name].length > KEPT) this.history[name].shift();
    }
  }
}
