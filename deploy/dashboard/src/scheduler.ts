/**
 * Painting: once an animation frame at most, and not more often than a person can follow. However many messages arrive
 * between two paintings, each painter runs once. Nothing is painted while the page is hidden.
 */
export class Scheduler {
  private waiting = false;
  private painted = 0;

  constructor(
    private readonly paint: () => boolean,
    private readonly gapMs: number,
  ) {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.request();
    });
  }

  /** Asks for a painting soon. `paint` answers whether it left something for the next one. */
  request(): void {
    if (this.waiting || document.hidden) return;
    this.waiting = true;
    const wait = Math.max(0, this.painted + this.gapMs - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.run()), wait);
  }

  private run(): void {
    this.waiting = false;
    this.painted = performance.now();
    if (this.paint()) this.request();
  }
}
