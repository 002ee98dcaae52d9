/** What the topics carry (docs/topics.md), as far as the page shows it. Unknown keys are ignored. */

export interface ModelReference {
  name: string;
  version: string;
  sha256: string;
}

export interface NodeState {
  state: "online" | "degraded" | "stopped" | "offline";
  reason: string;
  since: string;
  boot: string;
  version: string;
}

export interface RegionInfo {
  name: string;
  model: string;
  outline?: [number, number][] | null;
}

export interface NodeInfo {
  version: string;
  started_at?: string;
  machine?: string;
  provider?: string;
  cameras?: { name: string; regions: RegionInfo[] }[];
  models?: { name: string; version: string; sha256: string; labels?: string[] }[];
  rules?: string[];
}

export interface CameraState {
  state: string;
  reason: string;
  since: string;
  fps: number;
  reconnects: number;
  width: number;
  height: number;
  codec: string;
}

export interface RegionState {
  camera: string;
  region: string;
  label: string;
  probability: number;
  since: string;
  captured_at: string;
  reason: string;
  model: ModelReference | null;
  event_id: string | null;
}

export interface Classification {
  label: string;
  probability: number;
  captured_at: string;
}

export interface EventStep {
  id: string;
  n: number;
  seq: number;
  node: string;
  clock: string;
  rule: string;
  event_type: "start" | "update" | "end";
  severity: Severity;
  camera: string | null;
  region: string | null;
  label: string | null;
  probability: number | null;
  value: number | null;
  started_at: string;
  ended_at: string | null;
  captured_at: string;
  reason: string;
  model: ModelReference | null;
  evidence: string | null;
}

export type Severity = "info" | "warning" | "critical";

export interface LossNotice {
  noticed_at: string;
  lost: { reason: string; count: number | null }[];
}

export interface ModelState extends ModelReference {
  card?: {
    description?: string;
    labels?: string[];
    architecture?: string;
    accuracy?: { value?: number } | null;
    macro_f1?: number | null;
    test_samples?: number | null;
  };
  shadow?: ModelReference | null;
}

export interface Reply {
  status: "ok" | "error";
  transaction: string | null;
  error?: { code: string; message: string } | null;
}

/** Corners of a region as they were told; null for the whole frame, and for what is no outline. */
export function outlineOf(told: unknown): [number, number][] | null {
  if (!Array.isArray(told) || told.length < 3 || told.length > 64) return null;
  const fits = told.every((point) => Array.isArray(point) && point.length === 2 && point.every(Number.isFinite));
  return fits ? (told as [number, number][]) : null;
}

/** What a key must hold: `?` marks those that may be null. */
type Kind = "text" | "text?" | "number?" | "list?" | "object?" | "model?";
export type Shape = Record<string, Kind>;

const REFERENCE: Shape = { name: "text", version: "text", sha256: "text" };
export const NODE_STATE: Shape = { state: "text", reason: "text", since: "text", version: "text" };
export const NODE_INFO: Shape = {
  version: "text", started_at: "text?", machine: "text?", provider: "text?", cameras: "list?", models: "list?", rules: "list?",
};
export const CAMERA_STATE: Shape = {
  state: "text", reason: "text", since: "text", codec: "text", fps: "number?", reconnects: "number?", width: "number?",
  height: "number?",
};
export const REGION_STATE: Shape = { label: "text", reason: "text", since: "text", probability: "number?", model: "model?" };
export const CLASSIFICATION: Shape = { label: "text", captured_at: "text", probability: "number?" };
export const EVENT_STEP: Shape = {
  id: "text", n: "number?", seq: "number?", rule: "text", event_type: "text", severity: "text", clock: "text",
  camera: "text?", region: "text?", label: "text?", probability: "number?", value: "number?", started_at: "text",
  ended_at: "text?", captured_at: "text", reason: "text", evidence: "text?", model: "model?",
};
export const LOSS_NOTICE: Shape = { noticed_at: "text", lost: "list?" };
export const MODEL_STATE: Shape = { ...REFERENCE, card: "object?", shadow: "model?" };
export const REPLY: Shape = { status: "text", transaction: "text?", error: "object?" };

const TEXT = new TextDecoder();

/**
 * The JSON object in `payload`; null where it holds none. A key that holds something else than `shape` says becomes
 * empty text or null: the page shows what it understands, whoever wrote the rest.
 */
export function json<T>(payload: Uint8Array, shape: Shape): T | null {
  try {
    const value: unknown = JSON.parse(TEXT.decode(payload));
    if (!isObject(value)) return null;
    for (const [key, kind] of Object.entries(shape)) {
      if (!holds(value[key], kind)) value[key] = kind === "text" ? "" : null;
    }
    return value as T;
  } catch {
    return null;
  }
}

export function isModel(value: unknown): value is ModelReference {
  return isObject(value) && Object.entries(REFERENCE).every(([key, kind]) => holds(value[key], kind));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function holds(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case "text":
    case "text?":
      return typeof value === "string";
    case "number?":
      return typeof value === "number";
    case "list?":
      return Array.isArray(value);
    case "object?":
      return isObject(value);
    case "model?":
      return isModel(value);
  }
}
