/** Tells screen readers, politely, and never more often than somebody can listen. */

import { byId } from "./dom";

const GAP_MS = 4000;

export class Announcer {
  private readonly region = byId("announcements");
  private waiting: string[] = [];
  private timer = 0;

  readonly say = (text: string): void => {
    if (this.waiting.length < 5) this.waiting.push(text);
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.region.textContent = this.waiting.join(". ");
      this.waiting = [];
    }, this.region.textContent ? GAP_MS : 200);
  };
}
