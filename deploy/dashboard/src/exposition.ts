/** Reading Prometheus' text format, as far as a node writes it. */

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

export class Scrape {
  private readonly samples = new Map<string, Sample[]>();

  constructor(
    text: string,
    readonly atMs: number,
  ) {
    for (const line of text.split("\n")) {
      if (!line.startsWith("edgenode_") && !line.startsWith("process_")) continue;
      const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)/i.exec(line);
      if (!found) continue;
      const labels: Record<string, string> = {};
      for (const [, name, value] of (found[2] ?? "").matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/gi)) {
        labels[name!] = value!.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
      }
      const list = this.samples.get(found[1]!);
      const sample = { labels, value: found[3] === "+Inf" ? Infinity : Number(found[3]) };
      if (list) list.push(sample);
      else this.samples.set(found[1]!, [sample]);
    }
  }

  all(name: string): Sample[] {
    return this.samples.get(name) ?? [];
  }

  /** Null where there is no such series: what is not measured is not zero. */
  sum(name: string, where: Record<string, string> = {}): number | null {
    const found = this.all(name).filter((sample) =>
      Object.entries(where).every(([label, value]) => sample.labels[label] === value),
    );
    return found.length ? found.reduce((total, sample) => total + sample.value, 0) : null;
  }
}

/** Growth a second between two scrapes of one life of the process; null where it cannot be told. */
export function rate(old: Scrape, now: Scrape, name: string, where: Record<string, string> = {}): number | null {
  const after = now.sum(name, where);
  const seconds = (now.atMs - old.atMs) / 1000;
  if (after === null || seconds <= 0) return null;
  const grown = after - (old.sum(name, where) ?? 0);
  return grown < 0 ? null : grown / seconds;
}

/** Quantile of what a histogram counted between two scrapes, linear within its bucket as Prometheus does it. */
export function quantile(
  old: Scrape, now: Scrape, name: string, q: number, where: Record<string, string> = {},
): number | null {
  const fits = (sample: Sample): boolean =>
    Object.entries(where).every(([label, value]) => sample.labels[label] === value);
  const before = new Map<string, number>();
  for (const sample of old.all(`${name}_bucket`)) {
    if (fits(sample)) before.set(sample.labels["le"]!, (before.get(sample.labels["le"]!) ?? 0) + sample.value);
  }
  const buckets = new Map<number, number>();
  for (const sample of now.all(`${name}_bucket`)) {
    if (!fits(sample)) continue;
    const le = sample.labels["le"]!;
    const edge = le === "+Inf" ? Infinity : Number(le);
    buckets.set(edge, (buckets.get(edge) ?? -(before.get(le) ?? 0)) + sample.value);
  }
  const edges = [...buckets.entries()].sort((a, b) => a[0] - b[0]);
  const total = edges.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  let low = 0;
  let counted = 0;
  for (const [edge, cumulative] of edges) {
    if (cumulative >= q * total) {
      if (edge === Infinity) return low;
      return low + ((edge - low) * (q * total - counted)) / Math.max(1, cumulative - counted);
    }
    low = edge;
    counted = cumulative;
  }
  return low;
}
