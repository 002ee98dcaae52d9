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

const TEXT = new TextDecoder();

/** The JSON object in `payload`; null where it holds none: the page shows what it understands. */
export function json<T>(payload: Uint8Array): T | null {
  try {
    const value: unknown = JSON.parse(TEXT.decode(payload));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as T) : null;
  } catch {
    return null;
  }
}
