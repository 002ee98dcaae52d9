/** One camera in full: its picture, every region, and the way to ask for a new picture. */

import { cameraLevel } from "../alarms";
import { byId, h, setText } from "../dom";
import type { CameraView, Fleet } from "../fleet";
import { at, number, percent } from "../format";
import { PictureFrame } from "./picture";
import { Status } from "./status";

type Ask = (camera: CameraView) => Promise<void>;

export class CameraDialog {
  private readonly dialog = byId<HTMLDialogElement>("camera-dialog");
  private readonly title = byId("camera-title");
  private readonly facts = byId("camera-facts");
  private readonly regions = byId("camera-regions");
  private readonly ask = byId<HTMLButtonElement>("camera-ask");
  private readonly again = byId<HTMLInputElement>("camera-again");
  private readonly answer = byId("camera-answer");
  private readonly status = new Status();
  private readonly picture = new PictureFrame();
  private key: string | null = null;
  private asking = false;

  constructor(
    private readonly fleet: Fleet,
    private readonly request: Ask,
  ) {
    byId("camera-status").append(this.status.element);
    byId("camera-picture").append(this.picture.element);
    this.ask.addEventListener("click", () => void this.refresh());
    this.again.addEventListener("change", () => void this.refresh());
    this.dialog.addEventListener("close", () => {
      this.key = null;
      this.again.checked = false;
      this.picture.close();
    });
  }

  open(key: string): void {
    if (!this.fleet.cameras.has(key)) return;
    this.key = key;
    setText(this.answer, "");
    this.paint();
    this.dialog.showModal();
  }

  paint(): void {
    const camera = this.key === null ? undefined : this.fleet.cameras.get(this.key);
    if (!camera) {
      if (this.dialog.open) this.dialog.close();
      return;
    }
    const { state } = camera;
    setText(this.title, camera.name);
    if (this.fleet.nodeIsUp(camera.node)) this.status.show(cameraLevel(state?.state), state?.state ?? "not heard yet");
    else this.status.show("off", "node is away");
    this.picture.show(camera);
    const facts = [
      camera.node,
      state?.reason,
      state && `since ${at(Date.parse(state.since))}`,
      state?.width ? `${state.width} × ${state.height} ${state.codec}` : null,
      state && `${number(state.fps)} pictures classified a second`,
      state?.reconnects ? `opened again ${state.reconnects} times` : null,
      camera.picture &&
        `picture ${camera.picture.of === "event" ? "of an event" : "asked for"}, ${at(camera.picture.atMs)}`,
    ];
    setText(this.facts, facts.filter(Boolean).join(" · "));
    const rows = [...camera.regions.values()].map(({ name, state: said, info, sure, open }) =>
      h(
        "tr",
        { class: open.size ? "alerted" : null },
        h("th", { scope: "row" }, name),
        h("td", {}, h("b", {}, said?.label ?? "–")),
        h("td", {}, said ? percent(sure ?? said.probability) : "–"),
        h("td", {}, said ? at(Date.parse(said.since)) : "–"),
        h("td", {}, said?.model ? `${said.model.name} ${said.model.version}` : (info?.model ?? "–")),
        h("td", {}, said?.reason ?? ""),
      ),
    );
    this.regions.replaceChildren(...rows);
  }

  private async refresh(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    this.ask.disabled = true;
    try {
      do {
        const camera = this.key === null ? undefined : this.fleet.cameras.get(this.key);
        if (!camera) break;
        setText(this.answer, this.again.checked ? "asking every 2 s" : "asking");
        await this.request(camera);
        setText(this.answer, this.again.checked ? "asking every 2 s" : "");
        if (this.again.checked) await new Promise((resolve) => setTimeout(resolve, 2000));
      } while (this.again.checked);
    } catch (error) {
      this.again.checked = false;
      setText(this.answer, error instanceof Error ? error.message : String(error));
    } finally {
      this.asking = false;
      this.ask.disabled = false;
    }
  }
}
