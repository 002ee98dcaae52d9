/**
 * Where the broker is. In this order: the page's address (`?broker=ws://…&base=…`), what was kept in this browser, what the
 * node that serves the page says (`status.json`), a guess. User and password are kept only where somebody asked for it.
 */

export type Protocol = "auto" | "5" | "3.1.1";

export interface Options {
  broker: string;
  base: string;
  protocol: Protocol;
  username: string;
  password: string;
  remember: boolean;
  /** Seconds after which a visible camera is asked for a new picture; 0: only when somebody asks. */
  refresh: number;
}

/** What a node says of itself in `status.json`. */
export interface Served {
  node: string;
  base: string | null;
  broker: string | null;
  protocol: Protocol;
}

const KEY = "edgenode.live";
const FIELDS = ["broker", "base", "protocol", "refresh"] as const;

export async function servedBy(): Promise<Served | null> {
  try {
    const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) return null;
    const told = (await answer.json()) as {
      node?: string;
      live?: { base_topic?: string; broker_url?: string | null; protocol?: string };
    };
    if (typeof told.node !== "string") return null;
    return {
      node: told.node,
      base: told.live?.base_topic ?? null,
      broker: told.live?.broker_url ?? null,
      protocol: protocol(told.live?.protocol),
    };
  } catch {
    return null; // a static host answers something else, or nothing
  }
}

export function options(served: Served | null): Options {
  const asked = new URLSearchParams(location.search);
  const kept = read();
  const pick = (name: (typeof FIELDS)[number], otherwise: string): string =>
    asked.get(name) ?? kept[name] ?? otherwise;
  return {
    broker: pick("broker", served?.broker ?? ""),
    base: pick("base", served?.base ?? "edgenode/v1"),
    protocol: protocol(pick("protocol", served?.protocol ?? "auto")),
    refresh: Math.max(0, Number(pick("refresh", "0")) || 0),
    username: asked.get("user") ?? kept["username"] ?? "",
    password: kept["password"] ?? "",
    remember: kept["password"] !== undefined,
  };
}

/** A guess for the form: Mosquitto's usual port, on the machine that serves the page. */
export function guess(): string {
  const secure = location.protocol === "https:";
  return `${secure ? "wss" : "ws"}://${location.hostname || "localhost"}:9001`;
}

export function keep(chosen: Options): void {
  const kept: Record<string, string> = {
    broker: chosen.broker,
    base: chosen.base,
    protocol: chosen.protocol,
    refresh: String(chosen.refresh),
  };
  if (chosen.remember) {
    kept["username"] = chosen.username;
    kept["password"] = chosen.password;
  }
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // storage is full or forbidden: the form asks again next time
  }
}

export function forget(): void {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // nothing was kept then
  }
}

/** What is wrong with the address, in words; empty where nothing is. */
export function brokerFault(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return "Write an address like wss://broker.example:9001";
  }
  if (parsed.protocol !== "ws:" && parsed.protocol !== "wss:") {
    return "A browser reaches a broker over WebSockets only: the address begins with ws:// or wss://";
  }
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(parsed.hostname);
  if (location.protocol === "https:" && parsed.protocol === "ws:" && !local) {
    return "This page came over HTTPS, so the browser refuses an unencrypted broker: use wss://";
  }
  return "";
}

function read(): Record<string, string> {
  try {
    return (JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {}) as Record<string, string>;
  } catch {
    return {};
  }
}

function protocol(word: string | undefined): Protocol {
  return word === "5" || word === "3.1.1" ? word : "auto";
}
