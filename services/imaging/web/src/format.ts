/** Numbers, times and names for people. */

const two = (n: number) => String(n).padStart(2, "0");

/** The time of day where the operator is: "09:05:02". */
export function clock(at: Date): string {
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** An instant (ISO 8601) where the operator is, for a list: "09:05:02" today, "1 Mar 09:05" this year, else the day. */
export function when(instant: string, now: Date): string {
  const at = new Date(instant);
  if (Number.isNaN(at.getTime())) return instant;
  if (at.toDateString() === now.toDateString()) return clock(at);
  const day = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
  if (at.getFullYear() !== now.getFullYear()) return `${day} ${at.getFullYear()}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** An instant (ISO 8601) where the operator is, whole: "2026-03-01 09:05:02". */
export function stamp(instant: string): string {
  const at = new Date(instant);
  if (Number.isNaN(at.getTime())) return instant;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at)}`;
}

/** How long something took, in seconds: "0.4 s", "42 s", "3 min 05 s", "2 h 07 min". */
export function duration(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** Three significant digits, but never fewer than the integer part has, so that a reading does not jitter in width. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "no number";
  if (value === 0) return "0";
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude < -3 || magnitude > 6) return value.toExponential(2);
  return value.toFixed(Math.max(0, 2 - magnitude));
}

const SYMBOLS: Record<string, string> = { degC: "°C", degF: "°F", delta_degC: "K", um: "µm", uT: "µT", ohm: "Ω" };

/** A unit as people write it. */
export function unitSymbol(unit: string): string {
  return SYMBOLS[unit] ?? unit;
}

/** A parameter exactly as it was given: no digit is added or lost. */
export function exact(value: unknown): string {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(exact).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A name from the interface as words: "coil-temperature" is "coil temperature". */
export function words(name: string): string {
  return name.replace(/[-_]+/g, " ").trim();
}

/** The same, at the start of a line. */
export function title(name: string): string {
  const text = words(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whole percent; full only when it is. */
export function percent(done: number, total: number): number {
  if (total <= 0) return 0;
  return Math.min(100, Math.max(0, Math.floor((100 * done) / total)));
}
