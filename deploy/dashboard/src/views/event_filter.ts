/** The filter above the events. */

import { byId, h } from "../dom";
import type { EventLog, LoggedEvent } from "../event_log";
import { words } from "../format";

const RANK: Record<string, number> = { info: 0, warning: 1, critical: 2 };

export class EventFilter {
  private readonly severity = byId<HTMLSelectElement>("filter-severity");
  private readonly rule = byId<HTMLSelectElement>("filter-rule");
  private readonly text = byId<HTMLInputElement>("filter-text");
  private readonly open = byId<HTMLInputElement>("filter-open");
  private readonly pictured = byId<HTMLInputElement>("filter-picture");
  private known = "";

  constructor(
    private readonly log: EventLog,
    changed: () => void,
  ) {
    for (const control of [this.severity, this.rule, this.text, this.open, this.pictured]) {
      control.addEventListener("input", changed);
    }
    byId("filter-clear").addEventListener("click", () => {
      this.severity.value = this.rule.value = this.text.value = "";
      this.open.checked = this.pictured.checked = false;
      changed();
    });
  }

  /** Offers the rules that were heard. */
  paint(): void {
    const rules = this.log.rules();
    const known = rules.join();
    if (known === this.known) return;
    this.known = known;
    const chosen = this.rule.value;
    this.rule.replaceChildren(
      h("option", { value: "" }, "every rule"),
      ...rules.map((rule) => h("option", { value: rule }, words(rule))),
    );
    this.rule.value = rules.includes(chosen) ? chosen : "";
  }

  readonly fits = (event: LoggedEvent): boolean => {
    const { step } = event;
    if (this.severity.value && (RANK[step.severity] ?? 0) < RANK[this.severity.value]!) return false;
    if (this.rule.value && step.rule !== this.rule.value) return false;
    if (this.open.checked && event.endedMs !== null) return false;
    if (this.pictured.checked && !event.picture) return false;
    const text = this.text.value.trim().toLowerCase();
    return !text || [event.node, step.camera, step.region, step.label].some((each) => each?.toLowerCase().includes(text));
  };
}
