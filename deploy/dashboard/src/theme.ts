/** Light, dark, or as the system says. */

import { byId, setText } from "./dom";

const KEY = "edgenode.theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function theme(): void {
  const button = byId("theme");
  const show = (wanted: Theme): void => {
    if (wanted === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = wanted;
    setText(button.querySelector("span")!, wanted);
    button.setAttribute("aria-label", `Colours: ${wanted}. Change`);
  };
  let now = kept();
  show(now);
  button.addEventListener("click", () => {
    now = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]!;
    try {
      localStorage.setItem(KEY, now);
    } catch {
      // it lasts as long as the page then
    }
    show(now);
  });
}

function kept(): Theme {
  try {
    const word = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === word) ?? "system";
  } catch {
    return "system";
  }
}
