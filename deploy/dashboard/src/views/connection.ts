/** Whether the page hears the broker: in the header always, and as a banner when what is shown may be old. */

import { byId, setText } from "../dom";
import { at } from "../format";
import type { LinkState } from "../link";
import { Status } from "./status";

export class ConnectionView {
  private readonly status = new Status();
  private readonly banner = byId("banner");
  private before: LinkState["is"] | null = null;

  constructor(private readonly announce: (text: string) => void) {
    byId("connection").prepend(this.status.element);
    this.status.show("off", "not connected");
  }

  show(state: LinkState, broker: string): void {
    let banner = "";
    switch (state.is) {
      case "connected":
        this.status.show("ok", "live");
        break;
      case "connecting":
        this.status.show("warning", "connecting");
        if (state.reason) banner = `No connection yet to ${broker}: ${state.reason}. Trying again.`;
        break;
      case "lost":
        this.status.show("critical", "broker away");
        banner = `The connection to the broker is lost since ${at(state.since)}: what is shown may be old. Trying again.`;
        break;
      case "refused":
        this.status.show("critical", "refused");
        banner = state.reason;
        break;
    }
    setText(this.banner, banner);
    this.banner.hidden = !banner;
    document.body.classList.toggle("stale", state.is === "lost" || state.is === "refused");
    if (this.before && this.before !== state.is) {
      this.announce(state.is === "connected" ? "Connected to the broker" : banner);
    }
    this.before = state.is;
  }
}
