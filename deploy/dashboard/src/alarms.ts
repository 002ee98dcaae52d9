/** What calls for somebody: worked out anew from what is known, so that an alarm ends when its cause does. */

import type { EventLog } from "./event_log";
import type { Fleet } from "./fleet";
import { at, number, plural } from "./format";
import { DRIFT_LIMIT, type VitalsWatch } from "./vitals";

export type Level = "ok" | "info" | "warning" | "critical" | "off";

export interface Alarm {
  id: string;
  level: "warning" | "critical";
  title: string;
  reason: string;
  sinceMs: number | null;
  /** What to open for it. */
  camera: string | null;
}

const CAMERA_LEVELS: Record<string, Level> = {
  online: "ok",
  stale: "warning",
  frozen: "warning",
  blind: "warning",
  moved: "warning",
  offline: "critical",
  failed: "critical",
  disabled: "off",
  ended: "off",
};
const NODE_LEVELS: Record<string, Level> = { online: "ok", degraded: "warning", offline: "critical", stopped: "off" };
const OUTBOX_LIMIT = 100;
const MAX_ALARMS = 60;

export function cameraLevel(state: string | undefined): Level {
  return state === undefined ? "off" : (CAMERA_LEVELS[state] ?? "warning");
}

export function nodeLevel(state: string | undefined): Level {
  return state === undefined ? "off" : (NODE_LEVELS[state] ?? "warning");
}

/** Critical first, then by name; at most `MAX_ALARMS`, the last of which says how many more there are. */
export function alarms(fleet: Fleet, log: EventLog, vitals: VitalsWatch): Alarm[] {
  const found: Alarm[] = [];
  for (const node of fleet.nodes.values()) {
    const level = nodeLevel(node.state?.state);
    if (level !== "critical" && level !== "warning") continue;
    found.push({
      id: `node ${node.name}`,
      level,
      title: `${node.name} is ${node.state!.state}`,
      reason: node.state!.reason || (level === "critical" ? "its connection to the broker broke" : ""),
      sinceMs: Date.parse(node.state!.since),
      camera: null,
    });
  }
  for (const camera of fleet.cameras.values()) {
    const level = cameraLevel(camera.state?.state);
    if ((level !== "critical" && level !== "warning") || !fleet.nodeIsUp(camera.node)) continue;
    found.push({
      id: `camera ${camera.key}`,
      level,
      title: `${camera.name} is ${camera.state!.state}`,
      reason: [camera.node, camera.state!.reason].filter(Boolean).join(": "),
      sinceMs: Date.parse(camera.state!.since),
      camera: camera.key,
    });
  }
  for (const loss of log.losses) {
    found.push({
      id: `loss ${loss.node} ${loss.atMs}`,
      level: "critical",
      title: `${loss.node} gave up messages`,
      reason: `${loss.text}, at ${at(loss.atMs)}`,
      sinceMs: loss.atMs,
      camera: null,
    });
  }
  const now = vitals.now;
  const own = (id: string, level: "warning" | "critical", title: string, reason: string): void => {
    found.push({ id: `own ${id}`, level, title, reason, sinceMs: null, camera: null });
  };
  if (now?.connected === false) own("broker", "critical", "This node has no broker", "events wait in its outbox");
  if (now?.outboxMessages && now.outboxMessages >= OUTBOX_LIMIT) {
    own("outbox", "warning", "The outbox grows", `${plural(now.outboxMessages, "event")} not delivered yet`);
  }
  for (const { model, psi } of now?.drift ?? []) {
    if (psi > DRIFT_LIMIT) {
      own(`drift ${model}`, "warning", `${model} sees other pictures than it learnt`, `drift (PSI) ${number(psi)}`);
    }
  }
  found.sort((a, b) => (a.level === b.level ? (a.id < b.id ? -1 : 1) : a.level === "critical" ? -1 : 1));
  if (found.length <= MAX_ALARMS) return found;
  const more = found.length - MAX_ALARMS + 1;
  const rest: Alarm = {
    id: "more", level: "warning", title: `and ${more} more`, reason: "the list of cameras shows them",
    sinceMs: null, camera: null,
  };
  return [...found.slice(0, MAX_ALARMS - 1), rest];
}
