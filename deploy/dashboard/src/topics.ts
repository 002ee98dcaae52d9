/** The topics below the base topic, as they are heard. */

export type Heard =
  | { kind: "state" | "info"; node: string }
  | { kind: "camera" | "picture"; node: string; camera: string }
  | { kind: "region" | "classification"; node: string; camera: string; region: string }
  | { kind: "event" | "evidence"; node: string; rule: string }
  | { kind: "model"; node: string; model: string }
  | { kind: "reply"; node: string; verb: string };

/** Rule name of the notices about lost messages. */
export const OUTBOX_RULE = "_outbox";

/** Filter to quality of service. What is retained or counted must arrive; raw predictions may be lost. */
export function filters(base: string): Record<string, { qos: 0 | 1 }> {
  const wanted: [string, 0 | 1][] = [
    ["state", 1],
    ["info", 1],
    ["models/+", 1],
    ["cameras/+/state", 1],
    ["cameras/+/regions/+/state", 1],
    ["events/+", 1],
    ["events/+/snapshot", 1],
    ["cameras/+/snapshot", 1],
    ["cameras/+/regions/+/classification", 0],
    ["replies/+", 1],
  ];
  return Object.fromEntries(wanted.map(([filter, qos]) => [`${base}/+/${filter}`, { qos }]));
}

/** What `topic` is; null for what the page does not show. */
export function heard(base: string, topic: string): Heard | null {
  if (!topic.startsWith(`${base}/`)) return null;
  const [node, ...rest] = topic.slice(base.length + 1).split("/");
  if (!node) return null;
  const [first, a, b, c, d] = rest;
  switch (first) {
    case "state":
    case "info":
      return rest.length === 1 ? { kind: first, node } : null;
    case "models":
      return a && rest.length === 2 ? { kind: "model", node, model: a } : null;
    case "replies":
      return a && rest.length === 2 ? { kind: "reply", node, verb: a } : null;
    case "events":
      if (!a) return null;
      if (rest.length === 2) return { kind: "event", node, rule: a };
      return b === "snapshot" ? { kind: "evidence", node, rule: a } : null;
    case "cameras":
      if (!a) return null;
      if (b === "state") return { kind: "camera", node, camera: a };
      if (b === "snapshot") return { kind: "picture", node, camera: a };
      if (b !== "regions" || !c) return null;
      if (d === "state") return { kind: "region", node, camera: a, region: c };
      return d === "classification" ? { kind: "classification", node, camera: a, region: c } : null;
    default:
      return null;
  }
}
