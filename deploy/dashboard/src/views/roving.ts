/**
 * One stop for the Tab key in a long list, arrow keys within it: 200 cameras are not 200 stops. Up and down follow the
 * layout, so that it serves lists and grids.
 */
export function roving(container: HTMLElement, selector: string): void {
  const items = (): HTMLElement[] => [...container.querySelectorAll<HTMLElement>(selector)];

  const choose = (item: HTMLElement): void => {
    for (const each of container.querySelectorAll<HTMLElement>(`${selector}[tabindex="0"]`)) each.tabIndex = -1;
    item.tabIndex = 0;
  };

  container.addEventListener("focusin", (event) => {
    const item = (event.target as HTMLElement).closest<HTMLElement>(selector);
    if (item) choose(item);
  });
  container.addEventListener("keydown", (event) => {
    const item = (event.target as HTMLElement).closest<HTMLElement>(selector);
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = items();
    const here = all.indexOf(item);
    const columns = Math.max(1, all.filter((each) => top(each) === top(all[0]!)).length);
    const steps: Record<string, number> = {
      ArrowRight: here + 1,
      ArrowLeft: here - 1,
      ArrowDown: here + columns,
      ArrowUp: here - columns,
      Home: 0,
      End: all.length - 1,
    };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    all[Math.min(all.length - 1, Math.max(0, next))]?.focus();
  });
}

/** Sees to it that exactly one item can be reached by Tab. Call it after the list has changed. */
export function keepOneStop(container: HTMLElement, selector: string): void {
  if (container.querySelector(`${selector}[tabindex="0"]`)) return;
  const first = container.querySelector<HTMLElement>(selector);
  if (first) first.tabIndex = 0;
}

function top(item: HTMLElement): number {
  return (item.closest("li") ?? item).offsetTop;
}
