/** The connection to the broker: MQTT over WebSockets by MQTT.js, in its smallest parts (no Node.js transports). */

import MqttClient, { type IClientOptions } from "mqtt/lib/client";
import { browserStreamBuilder } from "mqtt/lib/connect/ws";

import type { Options } from "./options";
import type { Reply } from "./payloads";
import { filters } from "./topics";

export type LinkState =
  | { is: "connecting"; reason: string }
  | { is: "connected"; since: number }
  | { is: "lost"; since: number; reason: string }
  | { is: "refused"; reason: string };

type OnMessage = (topic: string, payload: Uint8Array, retained: boolean) => void;

const RETRY_MS = 2000;
const REPLY_MS = 10_000;
/** Browsers run the timers of hidden pages once a minute. */
const KEEPALIVE_S = 150;
const NOT_AUTHORISED = new Set([4, 5, 0x86, 0x87, 0x8c]);
const WRONG_VERSION = new Set([1, 0x84]);

export class Link {
  state: LinkState = { is: "connecting", reason: "" };
  private client: MqttClient | null = null;
  private version: 4 | 5;
  private ever = false;
  private closed = false;
  private retry = 0;
  private readonly waiting = new Map<string, (reply: Reply) => void>();

  constructor(
    private readonly options: Options,
    private readonly onMessage: OnMessage,
    private readonly onState: (state: LinkState) => void,
  ) {
    this.version = options.protocol === "3.1.1" ? 4 : 5;
    this.open();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    this.client?.end(true);
  }

  /** Sends a command and resolves with its reply. Rejects when none comes: nobody may have been allowed to ask. */
  ask(node: string, verb: string, args: object): Promise<void> {
    const transaction = crypto.getRandomValues(new Uint32Array(3)).join("-");
    return new Promise((resolve, reject) => {
      const client = this.client;
      if (!client || this.state.is !== "connected") return reject(new Error("no connection to the broker"));
      const giveUp = (why: string): void => {
        clearTimeout(timer);
        this.waiting.delete(transaction);
        reject(new Error(why));
      };
      const timer = setTimeout(
        () => giveUp("no answer: the node is away, or this account may only read"), REPLY_MS,
      );
      this.waiting.set(transaction, (reply) => {
        clearTimeout(timer);
        if (reply.status === "ok") resolve();
        else reject(new Error(reply.error?.message ?? "refused"));
      });
      const topic = `${this.options.base}/${node}/commands/${verb}`;
      client.publish(topic, JSON.stringify({ transaction, args }), { qos: 1 }, (error) => {
        // brokers of MQTT 5 say so when they refuse a message; older ones drop it without a word
        if (error) giveUp("refused by the broker: this account may only read");
      });
    });
  }

  /** Hands a reply to whoever waits for it; others' replies are nothing to this page. */
  answered(reply: Reply): void {
    const waiting = this.waiting.get(reply.transaction ?? "");
    if (!waiting) return;
    this.waiting.delete(reply.transaction!);
    waiting(reply);
  }

  private open(): void {
    const url = new URL(this.options.broker);
    const secure = url.protocol === "wss:";
    const settings: IClientOptions = {
      protocol: secure ? "wss" : "ws",
      hostname: url.hostname,
      port: Number(url.port) || (secure ? 443 : 80),
      path: url.pathname + url.search,
      protocolVersion: this.version,
      clientId: `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`,
      clean: true,
      keepalive: KEEPALIVE_S,
      connectTimeout: 8000,
      reconnectPeriod: 0, // this class tries again, with another version where that may help
      resubscribe: false,
      timerVariant: "native", // a worker from a blob would need a wider Content-Security-Policy
      ...(this.options.username ? { username: this.options.username, password: this.options.password } : {}),
    };
    const client = new MqttClient((each) => browserStreamBuilder(each, settings), settings);
    this.client = client;
    let connected = false;
    let reason = "";
    client.on("connect", () => {
      connected = this.ever = true;
      this.tell({ is: "connected", since: Date.now() });
      client.subscribe(filters(this.options.base));
    });
    client.on("message", (topic, payload, packet) => this.onMessage(topic, payload, packet.retain));
    client.on("error", (error) => {
      const code = (error as { code?: number | string }).code;
      if (typeof code === "number" && NOT_AUTHORISED.has(code)) {
        this.closed = true;
        this.tell({ is: "refused", reason: "The broker refuses this user and password." });
        client.end(true);
        return;
      }
      if (typeof code === "number" && WRONG_VERSION.has(code) && this.options.protocol === "auto") this.version = 4;
      reason = error.message;
    });
    client.on("close", () => {
      if (this.closed || this.client !== client) return;
      this.client = null;
      client.end(true);
      // some brokers that know only 3.1.1 close, or stay silent, instead of saying so
      if (!connected && !this.ever && this.options.protocol === "auto") this.version = this.version === 5 ? 4 : 5;
      if (this.ever) {
        const since = this.state.is === "lost" ? this.state.since : Date.now();
        this.tell({ is: "lost", since, reason });
      } else {
        this.tell({ is: "connecting", reason: reason || `nobody answers at ${this.options.broker}` });
      }
      this.retry = window.setTimeout(() => this.open(), RETRY_MS);
    });
  }

  private tell(state: LinkState): void {
    this.state = state;
    this.onState(state);
  }
}
