/** Numbers and times for people: local time, short, the same width where they stand below each other. */

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** 10:42:13, with the day where it is not today. */
export function at(ms: number | null | undefined): string {
  if (ms == null || Number.isNaN(ms)) return "–";
  const date = new Date(ms);
  const text = CLOCK.format(date);
  return date.toDateString() === new Date().toDateString() ? text : `${DAY.format(date)} ${text}`;
}

export function atFull(ms: number | null | undefined): string {
  return ms == null || Number.isNaN(ms) ? "" : FULL.format(ms);
}

export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
}

export function percent(share: number | null | undefined): string {
  return share == null ? "–" : `${Math.round(share * 100)} %`;
}

/** Three digits at most: 0.42, 4.2, 42, 4200. */
export function number(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0 || size >= 99.5 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 9.95 ? 0 : size >= 0.995 ? 1 : 2);
}

export function milliseconds(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  return seconds >= 9.95 ? `${Math.round(seconds)} s` : seconds >= 0.995 ? `${seconds.toFixed(1)} s` : `${number(seconds * 1000)} ms`;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${Math.round(count / 1024)} KiB`;
  return `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `defective_part` reads better as words; the name itself stays where names matter. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
