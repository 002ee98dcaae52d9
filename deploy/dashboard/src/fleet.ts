/** Nodes, cameras and regions as the retained topics tell them, and what changed since the page was painted. */

import { Recent, Slots } from "./meters";
import {
  CAMERA_STATE, CLASSIFICATION, MODEL_STATE, NODE_INFO, NODE_STATE, REGION_STATE, type CameraState, type Classification, type ModelState, type NodeInfo, type NodeState, type RegionInfo,
  type RegionState, json, outlineOf,
} from "./payloads";
import type { Heard } from "./topics";

export interface Picture {
  jpeg: Blob;
  atMs: number;
  /** Where it came from: asked for, or the evidence of an event. */
  of: "snapshot" | "event";
}

export interface RegionView {
  name: string;
  state: RegionState | null;
  info: RegionInfo | null;
  /** How sure the model was of the decided label a moment ago; null where nothing newer than `state` is known. */
  sure: number | null;
  /** Ids of events about it that are open. */
  open: Set<string>;
}

export interface CameraView {
  key: string;
  node: string;
  name: string;
  state: CameraState | null;
  regions: Map<string, RegionView>;
  picture: Picture | null;
}

export interface NodeView {
  name: string;
  state: NodeState | null;
  info: NodeInfo | null;
  models: Map<string, ModelState>;
}

const MAX_PICTURE_BYTES = 128 * 1024 * 1024;
const MAX_CAMERAS = 2000;
const MAX_NODES = 500;

export class Fleet {
  readonly nodes = new Map<string, NodeView>();
  readonly cameras = new Map<string, CameraView>();
  /** Keys of cameras to paint again; the painter removes what it has painted. */
  readonly dirty = new Set<string>();
  /** Keys of cameras where only how sure a model is has moved: worth painting where it is seen. */
  readonly moved = new Set<string>();
  /** Cameras came or went. */
  reshaped = true;
  nodesChanged = true;
  readonly classified = new Slots(1000, 62);
  /** Seconds from capture to this page, of live classifications: honest only where both clocks agree. */
  readonly delays = new Recent(200);

  apply(heard: Heard, payload: Uint8Array, retained: boolean, nowMs: number): void {
    switch (heard.kind) {
      case "state":
        return this.nodeState(heard.node, payload);
      case "info":
        return this.nodeInfo(heard.node, payload);
      case "model":
        return this.model(heard.node, heard.model, payload);
      case "camera":
        return this.cameraState(heard.node, heard.camera, payload);
      case "region":
        return this.regionState(heard.node, heard.camera, heard.region, payload);
      case "picture": {
        const camera = payload.length ? this.camera(heard.node, heard.camera) : this.cameras.get(key(heard.node, heard.camera));
        if (camera) this.show(camera, payload.length ? { jpeg: jpeg(payload), atMs: nowMs, of: "snapshot" } : null);
        return;
      }
      case "classification": {
        this.classified.add(nowMs);
        const said = retained ? null : json<Classification>(payload, CLASSIFICATION);
        if (said) this.sure(heard.node, heard.camera, heard.region, said, nowMs);
        return;
      }
      default:
        return;
    }
  }

  private readonly pictured = new Set<string>();
  private pictureBytes = 0;

  /** An event's evidence is also the newest picture of its camera. */
  evidence(node: string, name: string, picture: Picture): void {
    const camera = this.cameras.get(key(node, name));
    if (camera && (!camera.picture || camera.picture.atMs <= picture.atMs)) this.show(camera, picture);
  }

  /** An event about a region begins or ends. */
  event(id: string, node: string, name: string, regionName: string, open: boolean): void {
    const camera = this.cameras.get(key(node, name));
    const region = camera?.regions.get(regionName);
    if (!camera || !region) return;
    if (open) region.open.add(id);
    else region.open.delete(id);
    this.dirty.add(camera.key);
  }

  /** Sorted by node and name. */
  list(): CameraView[] {
    return [...this.cameras.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  /** A camera is up only while its node is. */
  nodeIsUp(name: string): boolean {
    const state = this.nodes.get(name)?.state?.state;
    return state === undefined || state === "online" || state === "degraded";
  }

  clear(): void {
    this.nodes.clear();
    this.cameras.clear();
    this.dirty.clear();
    this.moved.clear();
    this.pictured.clear();
    this.pictureBytes = 0;
    this.reshaped = this.nodesChanged = true;
  }

  private sure(node: string, name: string, regionName: string, said: Classification, nowMs: number): void {
    this.delays.add((nowMs - Date.parse(said.captured_at)) / 1000);
    const camera = this.cameras.get(key(node, name));
    const region = camera?.regions.get(regionName);
    if (!camera || region?.state?.label !== said.label) return;
    region.sure = said.probability;
    this.moved.add(camera.key);
  }

  private show(camera: CameraView, picture: Picture | null): void {
    this.pictureBytes += (picture?.jpeg.size ?? 0) - (camera.picture?.jpeg.size ?? 0);
    camera.picture = picture;
    this.dirty.add(camera.key);
    this.pictured.delete(camera.key);
    if (picture) this.pictured.add(camera.key);
    for (const oldest of this.pictured) {
      if (this.pictureBytes <= MAX_PICTURE_BYTES) break;
      const bare = this.cameras.get(oldest);
      this.pictured.delete(oldest);
      if (bare) this.show(bare, null);
    }
  }

  private node(name: string): NodeView | null {
    let node = this.nodes.get(name);
    if (!node && this.nodes.size < MAX_NODES) {
      node = { name, state: null, info: null, models: new Map() };
      this.nodes.set(name, node);
    }
    this.nodesChanged = true;
    return node ?? null;
  }

  private camera(node: string, name: string): CameraView | null {
    const id = key(node, name);
    let camera = this.cameras.get(id);
    if (!camera && this.cameras.size < MAX_CAMERAS) {
      this.node(node);
      camera = { key: id, node, name, state: null, regions: new Map(), picture: null };
      this.cameras.set(id, camera);
      this.reshaped = true;
    }
    this.dirty.add(id);
    return camera ?? null;
  }

  private nodeState(name: string, payload: Uint8Array): void {
    if (payload.length === 0) {
      this.nodes.delete(name);
      for (const camera of [...this.cameras.values()]) if (camera.node === name) this.remove(camera);
      this.nodesChanged = true;
      return;
    }
    const node = this.node(name);
    const state = json<NodeState>(payload, NODE_STATE);
    if (!node || !state) return;
    node.state = state;
    for (const camera of this.cameras.values()) if (camera.node === name) this.dirty.add(camera.key);
  }

  private nodeInfo(name: string, payload: Uint8Array): void {
    const info = json<NodeInfo>(payload, NODE_INFO);
    const node = this.node(name);
    if (!node || !info) return;
    node.info = info;
    const told = new Set<string>();
    for (const each of info.cameras ?? []) {
      if (typeof each?.name !== "string" || !Array.isArray(each.regions)) continue;
      const camera = this.camera(name, each.name);
      if (!camera) continue;
      told.add(camera.key);
      const regions = new Map(each.regions.filter((region) => typeof region?.name === "string").map((region) => [region.name, region]));
      for (const region of camera.regions.keys()) if (!regions.has(region)) camera.regions.delete(region);
      for (const region of regions.values()) {
        this.region(camera, region.name).info = { ...region, outline: outlineOf(region.outline) };
      }
    }
    // the birth message lists every camera: others are left over from before
    if (info.cameras) {
      for (const camera of [...this.cameras.values()]) {
        if (camera.node === name && !told.has(camera.key)) this.remove(camera);
      }
    }
  }

  private model(name: string, model: string, payload: Uint8Array): void {
    const node = this.node(name);
    const said = json<ModelState>(payload, MODEL_STATE);
    if (!node) return;
    if (said) node.models.set(model, said);
    else if (payload.length === 0) node.models.delete(model);
  }

  private cameraState(node: string, name: string, payload: Uint8Array): void {
    if (payload.length === 0) {
      const gone = this.cameras.get(key(node, name));
      if (gone) this.remove(gone);
      return;
    }
    const camera = this.camera(node, name);
    const state = json<CameraState>(payload, CAMERA_STATE);
    if (camera && state) camera.state = state;
  }

  private regionState(node: string, name: string, region: string, payload: Uint8Array): void {
    if (payload.length === 0) {
      const camera = this.cameras.get(key(node, name));
      if (camera?.regions.delete(region)) this.dirty.add(camera.key);
      return;
    }
    const camera = this.camera(node, name);
    const state = json<RegionState>(payload, REGION_STATE);
    if (!camera || !state) return;
    const view = this.region(camera, region);
    view.state = state;
    view.sure = null;
  }

  private region(camera: CameraView, name: string): RegionView {
    let region = camera.regions.get(name);
    if (!region) {
      region = { name, state: null, info: null, sure: null, open: new Set() };
      camera.regions.set(name, region);
    }
    return region;
  }

  private remove(camera: CameraView): void {
    this.pictureBytes -= camera.picture?.jpeg.size ?? 0;
    this.pictured.delete(camera.key);
    this.cameras.delete(camera.key);
    this.dirty.delete(camera.key);
    this.moved.delete(camera.key);
    this.reshaped = true;
  }
}

export function key(node: string, camera: string): string {
  return `${node}/${camera}`;
}

/** A copy: the bytes heard are a window into the connection's buffer. */
export function jpeg(payload: Uint8Array): Blob {
  return new Blob([payload as Uint8Array<ArrayBuffer>], { type: "image/jpeg" });
}
