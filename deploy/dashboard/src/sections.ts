/** One page, three sections; the address keeps which, so that Back works and a screen can start at any. */

import { byId } from "./dom";

const SECTIONS = ["cameras", "events", "nodes"] as const;
export type Section = (typeof SECTIONS)[number];

export function section(): Section {
  return SECTIONS.find((each) => location.hash === `#${each}`) ?? "cameras";
}

/** Keeps the sections, the navigation and the title in step with the address. */
export function sections(changed: () => void): void {
  const show = (moved: boolean): void => {
    const now = section();
    for (const each of SECTIONS) {
      byId(`section-${each}`).hidden = each !== now;
      const link = byId(`nav-${each}`);
      if (each === now) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.body.dataset["section"] = now;
    if (moved) {
      byId(`heading-${now}`).focus({ preventScroll: true });
      scrollTo({ top: 0 });
      changed();
    }
  };
  addEventListener("hashchange", () => show(true));
  show(false);
}
