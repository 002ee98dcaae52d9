/** A state is shown by shape and word, and by colour besides: never by colour alone. */

import type { Level } from "../alarms";
import { h, setText, svg } from "../dom";

const SHAPES: Record<Level, string> = {
  ok: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11z",
  info: "M3 3h10v10H3z",
  warning: "M8 1.8L15 14H1z",
  critical: "M8 .8L15.2 8L8 15.2L.8 8z",
  off: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zm0 2.2a3.3 3.3 0 1 1 0 6.6a3.3 3.3 0 1 1 0-6.6z",
};

export function glyph(level: Level): SVGSVGElement {
  return svg(
    "svg",
    { class: `glyph ${level}`, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: SHAPES[level] }),
  );
}

/** A word with its shape, to be changed in place. */
export class Status {
  readonly element = h("span", { class: "status" });
  private readonly text = h("span");
  private level: Level | null = null;

  constructor() {
    this.element.append(this.text);
  }

  show(level: Level, text: string): void {
    if (level !== this.level) {
      this.level = level;
      this.element.className = `status ${level}`;
      this.element.replaceChildren(glyph(level), this.text);
    }
    setText(this.text, text);
  }
}
