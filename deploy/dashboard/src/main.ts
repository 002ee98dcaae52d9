/** Wires it all: the connection feeds the fleet and the log, the scheduler paints what changed. */

import { type Alarm, alarms } from "./alarms";
import { Announcer } from "./announcer";
import { byId } from "./dom";
import { EventLog } from "./event_log";
import { type CameraView, Fleet } from "./fleet";
import { Link } from "./link";
import { type Options, brokerFault, options, servedBy } from "./options";
import { REPLY, type Reply, json } from "./payloads";
import { Scheduler } from "./scheduler";
import { section, sections } from "./sections";
import { theme } from "./theme";
import { heard } from "./topics";
import { AlarmsView } from "./views/alarms";
import { CameraDialog } from "./views/camera_dialog";
import { CamerasView } from "./views/cameras";
import { ConnectDialog } from "./views/connect_dialog";
import { ConnectionView } from "./views/connection";
import { EventDialog } from "./views/event_dialog";
import { EventFilter } from "./views/event_filter";
import { FeedView } from "./views/feed";
import { NodesView } from "./views/nodes";
import { SummaryView } from "./views/summary";
import { VitalsWatch } from "./vitals";

const CAMERAS_GAP_MS = 120;
const SLOW_GAP_MS = 400;
const FEED_ROWS = 40;
const EVENT_ROWS = 200;
const ASKED_AT_ONCE = 4;

async function start(): Promise<void> {
  theme();
  const served = await servedBy();
  let chosen = options(served);
  const fleet = new Fleet();
  const log = new EventLog();
  const announcer = new Announcer();
  const vitals = new VitalsWatch(() => slow.request());
  let link: Link | null = null;
  let found: Alarm[] = [];

  const ask = (camera: CameraView): Promise<void> =>
    link ? link.ask(camera.node, "snapshot", { camera: camera.name }) : Promise.reject(new Error("no broker"));

  const cameraDialog = new CameraDialog(fleet, ask);
  const eventDialog = new EventDialog(log);
  const connectDialog = new ConnectDialog(connect);
  const connection = new ConnectionView(announcer.say);
  const openCamera = (key: string): void => cameraDialog.open(key);
  const openEvent = (id: string): void => eventDialog.open(id);
  const camerasView = new CamerasView(fleet, openCamera, () => quick.request());
  const alarmsView = new AlarmsView(openCamera, announcer.say);
  const summary = new SummaryView(fleet, log, vitals);
  const nodes = new NodesView(fleet, vitals, served, () => chosen);
  const side = new FeedView(log, byId("side"), byId("side-list"), FEED_ROWS, openEvent, () => slow.request());
  const events = new FeedView(
    log, document.documentElement, byId("event-list"), EVENT_ROWS, openEvent, () => slow.request(),
  );
  const filter = new EventFilter(log, () => {
    events.filter(filter.fits);
    log.changed = true;
    slow.request();
  });

  const quick = new Scheduler(() => {
    const now = section();
    const rest = now === "cameras" ? camerasView.paint() : false;
    cameraDialog.paint();
    return rest;
  }, CAMERAS_GAP_MS);

  let paintedNodes = "";
  let moved = false;
  const slow = new Scheduler(() => {
    const now = section();
    const nowMs = Date.now();
    found = alarms(fleet, log, vitals);
    alarmsView.paint(found);
    summary.paint(found, nowMs);
    filter.paint();
    // a list that was not on the screen has missed what was dirty then
    const changed = moved ? log.ids() : [...log.dirty];
    moved = false;
    log.dirty.clear();
    if (now === "cameras") side.paint(changed);
    if (now === "events") events.paint(changed);
    if (now === "nodes") {
      const last = `${fleet.nodesChanged} ${vitals.now?.cores} ${vitals.fault} ${Math.floor(nowMs / 10_000)}`;
      // built anew only where something differs: what is selected stays selected
      if (fleet.nodesChanged || last !== paintedNodes) nodes.paint(nowMs);
      paintedNodes = last;
      fleet.nodesChanged = false;
    }
    eventDialog.paint();
    return false;
  }, SLOW_GAP_MS);

  function take(topic: string, payload: Uint8Array, retained: boolean): void {
    const what = heard(chosen.base, topic);
    if (!what) return;
    const nowMs = Date.now();
    if (what.kind === "reply") {
      const reply = json<Reply>(payload, REPLY);
      if (reply) link?.answered(reply);
    } else if (what.kind === "event") {
      const event = log.hear(what.node, what.rule, payload, nowMs);
      const { camera, region } = event?.step ?? {};
      if (event && camera && region) {
        fleet.event(event.id, event.node, camera, region, event.endedMs === null);
        quick.request();
      }
      slow.request();
    } else if (what.kind === "evidence") {
      const event = log.evidence(payload);
      if (event?.picture && event.step.camera) {
        fleet.evidence(event.node, event.step.camera, { jpeg: event.picture, atMs: nowMs, of: "event" });
        quick.request();
      }
      slow.request();
    } else {
      fleet.apply(what, payload, retained, nowMs);
      quick.request();
      slow.request();
    }
  }

  function connect(to: Options): void {
    if (link && (to.broker !== chosen.broker || to.base !== chosen.base)) {
      fleet.clear();
      log.clear();
    }
    chosen = to;
    link?.close();
    link = null;
    const fault = brokerFault(to.broker);
    if (fault) {
      connectDialog.open(chosen, fault);
      return;
    }
    link = new Link(
      to,
      (topic, payload, retained) => {
        try {
          take(topic, payload, retained);
        } catch (error) {
          // one strange message must not end the connection that brings all others
          console.warn(`not understood on ${topic}: ${String(error)}`);
        }
      },
      (state) => {
        connection.show(state, to.broker);
        if (state.is === "refused") connectDialog.open(chosen, state.reason);
        slow.request();
      },
    );
    connection.show(link.state, to.broker);
  }

  byId("connect").addEventListener("click", () => connectDialog.open(chosen));
  for (const button of document.querySelectorAll<HTMLElement>("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog")?.close());
  }
  sections(() => {
    fleet.nodesChanged = moved = true;
    quick.request();
    slow.request();
  });
  if (served) vitals.start();
  setInterval(() => slow.request(), 5000); // rates fall when nothing comes
  refreshing(() => chosen.refresh, camerasView, ask);
  slow.request();
  if (chosen.broker) connect(chosen);
  else connectDialog.open(chosen);
}

/** Asks for a new picture of what is on the screen, where somebody wants that; a few at a time, in turn. */
function refreshing(seconds: () => number, view: CamerasView, ask: (camera: CameraView) => Promise<void>): void {
  const turn = async (): Promise<void> => {
    const wanted = seconds();
    const old = Date.now() - wanted * 1000;
    if (wanted > 0 && !document.hidden) {
      const due = view.visible().filter((camera) => camera.picture === null || camera.picture.atMs < old);
      due.sort((a, b) => (a.picture?.atMs ?? 0) - (b.picture?.atMs ?? 0));
      await Promise.allSettled(due.slice(0, ASKED_AT_ONCE).map(ask));
    }
    setTimeout(() => void turn(), 1000);
  };
  void turn();
}

void start();
