/** The events heard since the page was opened: bounded, the steps of one event together, pictures matched by hash. */

import { jpeg } from "./fleet";
import { Slots } from "./meters";
import { EVENT_STEP, type EventStep, LOSS_NOTICE, type LossNotice, json } from "./payloads";
import { sha256 } from "./sha256";
import { OUTBOX_RULE } from "./topics";

export interface LoggedEvent {
  id: string;
  /** Rises with arrival: newest first is highest first. */
  order: number;
  node: string;
  step: EventStep;
  startedMs: number;
  endedMs: number | null;
  picture: Blob | null;
}

const MAX_EVENTS = 600;
const MAX_PICTURE_BYTES = 48 * 1024 * 1024;
const MAX_AWAITED = 400;

export class EventLog {
  /** Oldest first. */
  private readonly events = new Map<string, LoggedEvent>();
  /** Hash of an evidence picture that was named but has not come, to its event. */
  private readonly awaited = new Map<string, string>();
  /** Ids to paint again. */
  readonly dirty = new Set<string>();
  readonly perMinute = new Slots(60_000, 61);
  readonly perSecond = new Slots(1000, 62);
  readonly losses: { node: string; text: string; atMs: number }[] = [];
  changed = true;
  private orders = 0;
  private pictureBytes = 0;

  get size(): number {
    return this.events.size;
  }

  /** Newest first. */
  *newest(): Generator<LoggedEvent> {
    const all = [...this.events.values()];
    for (let i = all.length - 1; i >= 0; i--) yield all[i]!;
  }

  ids(): string[] {
    return [...this.events.keys()];
  }

  get(id: string): LoggedEvent | undefined {
    return this.events.get(id);
  }

  rules(): string[] {
    return [...new Set([...this.events.values()].map((event) => event.step.rule))].sort();
  }

  openCount(): number {
    let count = 0;
    for (const event of this.events.values()) if (event.endedMs === null) count++;
    return count;
  }

  hear(node: string, rule: string, payload: Uint8Array, nowMs: number): LoggedEvent | null {
    if (rule === OUTBOX_RULE) {
      this.loss(node, payload);
      return null;
    }
    const step = json<EventStep>(payload, EVENT_STEP);
    if (!step?.id) return null;
    this.changed = true;
    let event = this.events.get(step.id);
    if (event && step.n <= event.step.n) return null; // sent again
    if (!event) {
      event = {
        id: step.id, order: ++this.orders, node, step, startedMs: Date.parse(step.started_at), endedMs: null, picture: null,
      };
      this.events.set(step.id, event);
      this.perMinute.add(nowMs);
      this.perSecond.add(nowMs);
      this.trim();
    }
    const evidence = step.evidence ?? event.step.evidence;
    event.step = { ...step, evidence };
    if (step.event_type === "end") event.endedMs = Date.parse(step.ended_at ?? step.captured_at);
    if (step.evidence && !event.picture) {
      this.awaited.set(step.evidence, step.id);
      if (this.awaited.size > MAX_AWAITED) this.awaited.delete(this.awaited.keys().next().value!);
    }
    this.dirty.add(step.id);
    return event;
  }

  /** The event whose evidence these bytes are: its message named their hash. Null for a stranger's picture. */
  evidence(payload: Uint8Array): LoggedEvent | null {
    const hash = sha256(payload);
    const event = this.events.get(this.awaited.get(hash) ?? "");
    if (!event) return null;
    this.awaited.delete(hash);
    event.picture = jpeg(payload);
    this.pictureBytes += payload.length;
    this.dirty.add(event.id);
    this.changed = true;
    this.trim();
    return event;
  }

  clear(): void {
    this.events.clear();
    this.awaited.clear();
    this.dirty.clear();
    this.losses.length = 0;
    this.pictureBytes = 0;
    this.changed = true;
  }

  private loss(node: string, payload: Uint8Array): void {
    const notice = json<LossNotice>(payload, LOSS_NOTICE);
    if (!notice?.lost) return;
    const text = notice.lost.map((range) => `${range.count ?? "an unknown number"} ${range.reason}`).join(", ");
    this.losses.push({ node, text, atMs: Date.parse(notice.noticed_at) });
    if (this.losses.length > 20) this.losses.shift();
    this.changed = true;
  }

  private trim(): void {
    for (const event of this.events.values()) {
      if (this.events.size <= MAX_EVENTS) break;
      this.events.delete(event.id);
      this.dirty.delete(event.id);
      this.drop(event);
    }
    for (const event of this.events.values()) {
      if (this.pictureBytes <= MAX_PICTURE_BYTES) break;
      if (event.picture) this.dirty.add(event.id);
      this.drop(event);
    }
  }

  private drop(event: LoggedEvent): void {
    this.pictureBytes -= event.picture?.size ?? 0;
    event.picture = null;
  }
}
