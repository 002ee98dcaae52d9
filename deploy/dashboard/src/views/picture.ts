/** A camera's picture with its regions drawn over it; both keep the picture's proportions. */

import { h, svg } from "../dom";
import type { CameraView, Picture } from "../fleet";

const WHOLE: [number, number][] = [[0, 0], [1, 0], [1, 1], [0, 1]];

export class PictureFrame {
  readonly element = h("div", { class: "frame" });
  private readonly inner = h("div", { class: "frame-inner" });
  private readonly image = h("img", { alt: "", decoding: "async", hidden: true });
  private readonly overlay = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  private readonly labels = h("div", { class: "frame-labels", "aria-hidden": "true" });
  private readonly empty = h("span", { class: "frame-empty" }, "no picture yet");
  private shown: Picture | null = null;
  private url = "";
  private drawn = "";

  constructor() {
    this.inner.append(this.image, this.overlay, this.labels);
    this.element.append(this.inner, this.empty);
    this.image.addEventListener("load", () => this.fit(this.image.naturalWidth, this.image.naturalHeight));
  }

  show(camera: CameraView): void {
    if (camera.picture !== this.shown) {
      this.shown = camera.picture;
      const old = this.url;
      this.url = camera.picture ? URL.createObjectURL(camera.picture.jpeg) : "";
      if (this.url) this.image.src = this.url;
      else this.image.removeAttribute("src");
      if (old) URL.revokeObjectURL(old);
      this.image.hidden = !this.url;
      this.empty.hidden = Boolean(this.url);
      if (!this.url && camera.state?.width) this.fit(camera.state.width, camera.state.height);
    }
    this.drawRegions(camera);
  }

  /** Lets the picture's memory go; `show` brings it back. */
  close(): void {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.shown = null;
    this.image.removeAttribute("src");
    this.image.hidden = true;
    this.empty.hidden = false;
  }

  private drawRegions(camera: CameraView): void {
    const regions = [...camera.regions.values()].filter((region) => region.info);
    const drawn = JSON.stringify(
      regions.map((region) => [region.name, region.info?.outline, region.state?.label, region.open.size > 0]),
    );
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const shapes: SVGElement[] = [];
    const labels: HTMLElement[] = [];
    for (const region of regions) {
      const outline = region.info?.outline ?? WHOLE;
      const kind = region.open.size ? "alerted" : "plain";
      shapes.push(svg("polygon", { points: outline.map(([x, y]) => `${x},${y}`).join(" "), class: kind }));
      const label = h("span", { class: `frame-label ${kind}` }, `${region.name} ${region.state?.label ?? ""}`.trim());
      label.style.left = `${Math.min(...outline.map(([x]) => x)) * 100}%`;
      label.style.top = `${Math.min(...outline.map(([, y]) => y)) * 100}%`;
      labels.push(label);
    }
    this.overlay.replaceChildren(...shapes);
    this.labels.replaceChildren(...labels);
  }

  private fit(width: number, height: number): void {
    if (!width || !height) return;
    this.inner.style.aspectRatio = `${width} / ${height}`;
    this.inner.classList.toggle("tall", width * 9 < height * 16);
  }
}
