/** Counting what arrives, in fixed space. */

/** Counts in a ring of slots of `slotMs`; the running slot included. */
export class Slots {
  private readonly counts: number[];
  private current = 0;

  constructor(
    private readonly slotMs: number,
    slots: number,
  ) {
    this.counts = new Array<number>(slots).fill(0);
  }

  add(nowMs: number, count = 1): void {
    this.turn(nowMs);
    this.counts[this.current % this.counts.length]! += count;
  }

  /** Oldest first. */
  list(nowMs: number): number[] {
    this.turn(nowMs);
    const size = this.counts.length;
    return Array.from({ length: size }, (_, i) => this.counts[(this.current + 1 + i) % size]!);
  }

  /** Over the last `slots` whole slots. */
  sum(nowMs: number, slots: number): number {
    const all = this.list(nowMs);
    return all.slice(Math.max(0, all.length - 1 - slots), -1).reduce((a, b) => a + b, 0);
  }

  private turn(nowMs: number): void {
    const slot = Math.floor(nowMs / this.slotMs);
    const size = this.counts.length;
    if (slot <= this.current) return;
    for (let i = Math.max(this.current + 1, slot - size + 1); i <= slot; i++) this.counts[i % size] = 0;
    this.current = slot;
  }
}

/** The last `size` values, for a median of what is recent. */
export class Recent {
  private readonly values: number[] = [];
  private next = 0;

  constructor(private readonly size: number) {}

  add(value: number): void {
    this.values[this.next] = value;
    this.next = (this.next + 1) % this.size;
  }

  quantile(q: number): number | null {
    if (this.values.length === 0) return null;
    const sorted = [...this.values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
  }
}
