/** What the page says about safety. Colour only repeats what stands here in words. */

import type { Bypass, Interlock, Safety } from "./api";
import { number, unitSymbol, when, words } from "./format";

export type Level = "safe" | "armed" | "energised" | "fault" | "unknown";

export interface Wording {
  level: Level;
  word: string;
  says: string;
}

const STATES: Record<string, Wording> = {
  SAFE: { level: "safe", word: "SAFE", says: "Nothing is on." },
  ARMED: { level: "armed", word: "ARMED", says: "May be switched on at any moment." },
  ENERGISED: { level: "energised", word: "ENERGISED", says: "Power is on." },
  FAULT: { level: "fault", word: "FAULT", says: "Switched off by an interlock, and held off until reset." },
};

/** The one word for the state, and what to do. Without a live connection nothing is known, whatever was last heard. */
export function wording(safety: Safety | null, live: boolean): Wording {
  if (!live) {
    const last = safety?.state ? ` The last word was ${safety.state}.` : "";
    return { level: "unknown", word: "UNKNOWN", says: `No live word from the instrument.${last}` };
  }
  if (safety === null) {
    return { level: "unknown", word: "WAITING", says: "The safety daemon has not spoken yet." };
  }
  if (!safety.reachable) {
    return { level: "unknown", word: "NO ANSWER", says: "The safety daemon does not answer: regard the power as on." };
  }
  const state = safety.state ?? "";
  const known = STATES[state];
  if (known === undefined) {
    return { level: "unknown", word: state || "UNKNOWN", says: "The page does not know this state: regard the power as on." };
  }
  return safety.what_to_do ? { ...known, says: safety.what_to_do } : known;
}

/** The outputs that are on, in words. */
export function outputsOn(safety: Safety): string[] {
  return Object.entries(safety.outputs ?? {})
    .filter(([, on]) => on)
    .map(([name]) => words(name));
}

export type InterlockLevel = "ok" | "warning" | "tripped" | "bypassed";

export function interlockLevel(interlock: Interlock): InterlockLevel {
  if (interlock.bypassed) return "bypassed";
  if (!interlock.healthy) return "tripped";
  return interlock.warning ? "warning" : "ok";
}

export const INTERLOCK_WORDS: Record<InterlockLevel, string> = {
  ok: "ok",
  warning: "near its limit",
  tripped: "tripped",
  bypassed: "BYPASSED",
};

/** What an interlock reads: a number with its unit, a switch's state, or that there is no reading. */
export function reading(interlock: Interlock): string {
  const { value, unit, kind } = interlock;
  if (value === null) return kind === "device" ? "" : "no reading";
  if (typeof value === "boolean") {
    // Which level of a contact is the healthy one is the configuration's; the word beside it tells.
    return kind === "readback" ? (value ? "on" : "off") : "";
  }
  return unit === null ? number(value) : `${number(value)} ${unitSymbol(unit)}`;
}

/** An interlock that protects nobody for now, said so that nobody can miss what is not guarded. */
export interface BypassWords {
  title: string;
  until: string;
  by: string;
  why: string;
}

export function bypassWords(bypass: Bypass, now: Date): BypassWords {
  return {
    title: `BYPASSED: ${words(bypass.interlock)}`,
    until: `It protects nobody until ${when(bypass.until, now)}, or the next stop or fault.`,
    by: `By ${bypass.by}.`,
    why: `Why: ${bypass.reason}`,
  };
}

/** What came of a stop: all is off, something is still on or may be, or it never got there. */
export interface Outcome {
  kind: "off" | "still-on" | "failed";
  text: string;
}

const BY_HAND = "Press the emergency stop at the instrument.";

/** What came of pressing STOP, by the state that the service answered with. */
export function stopOutcome(answer: Safety): Outcome {
  if (!answer.reachable) {
    const why = answer.message ? ` (${answer.message})` : "";
    return { kind: "failed", text: `The safety daemon did not confirm the stop${why}. ${BY_HAND}` };
  }
  const on = outputsOn(answer);
  if (on.length > 0 || answer.state === "ENERGISED") {
    const what = on.length > 0 ? on.join(", ") : "something";
    return { kind: "still-on", text: `The stop was sent, but this is still on: ${what}. ${BY_HAND}` };
  }
  const unsure = (answer.interlocks ?? []).filter(({ kind, healthy }) => kind === "readback" && !healthy);
  if (unsure.length > 0) {
    const why = unsure.map(({ message }) => message).join("; ");
    return { kind: "still-on", text: `The stop was sent, but nothing confirms that everything is off: ${why}. ${BY_HAND}` };
  }
  return { kind: "off", text: `Stopped: everything is off, the state is ${answer.state ?? "not given"}.` };
}

/** What to say when the stop did not get through. */
export function stopFailure(reason: string): Outcome {
  return { kind: "failed", text: `The stop did NOT get through. ${BY_HAND} ${reason}` };
}

/** What is left of an outcome when more is heard; null when it is of no use any more. A failure stands until retried. */
export function lasting(outcome: Outcome, safety: Safety | null, live: boolean): Outcome | null {
  if (outcome.kind === "failed") return outcome;
  if (!live || safety === null) return outcome.kind === "off" ? null : outcome;
  const now = stopOutcome(safety);
  if (outcome.kind === now.kind) return outcome;
  return outcome.kind === "still-on" ? now : null;
}
