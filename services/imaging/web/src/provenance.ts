/** A picture's record, arranged for reading. Whatever the record holds is shown: what is not known goes under "More". */

import type { Picture } from "./api";
import { exact, words } from "./format";

export interface Fact {
  label: string;
  value: string;
  /** How it is set: a hash may be cut for the eye (the whole of it is still there to copy), code is not. */
  kind: "text" | "code" | "hash";
}

export interface Section {
  title: string;
  facts: Fact[];
}

type Rec = Record<string, unknown>;

function record(value: unknown): Rec {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Rec) : {};
}

const HASH = /^[0-9a-f]{40,}$/;

function fact(label: string, value: unknown): Fact {
  const text = exact(value);
  return { label, value: text, kind: HASH.test(text) ? "hash" : "text" };
}

/** Every value of a record, nested names joined with a point. */
export function flatten(value: Rec, prefix = ""): [string, unknown][] {
  return Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
    const name = prefix + words(key);
    const nested = record(inner);
    return Object.keys(nested).length > 0 ? flatten(nested, `${name} · `) : [[name, inner]];
  });
}

function facts(value: unknown): Fact[] {
  return flatten(record(value)).map(([name, inner]) => fact(name, inner));
}

function system(value: unknown): Fact[] {
  const { store_path: path, note, locks, ...rest } = record(value);
  const found: Fact[] = [];
  if (typeof path === "string") found.push({ label: "store path", value: path, kind: "code" });
  if (typeof note === "string") found.push({ label: "note", value: note, kind: "text" });
  for (const [name, hash] of Object.entries(record(locks))) found.push({ ...fact(name, hash) });
  return [...found, ...facts(rest)];
}

function software(value: unknown): Fact[] {
  const { revision, python, machine, versions, ...rest } = record(value);
  const found: Fact[] = [];
  if (typeof revision === "string") {
    const [commit = "", changed] = revision.split("+");
    found.push(fact("revision", commit));
    if (changed !== undefined) found.push(fact("beside it", "uncommitted changes"));
  } else {
    found.push(fact("revision", "not known: it did not run from a checkout"));
  }
  if (python !== undefined) found.push(fact("Python", python));
  if (machine !== undefined) found.push(fact("machine", machine));
  for (const [name, version] of Object.entries(record(versions))) {
    if (version !== null) found.push({ label: name, value: exact(version), kind: "text" });
  }
  return [...found, ...facts(rest)];
}

/** Frequencies are in hertz, as everything in the record is in SI units. */
function parameter([name, value]: [string, unknown]): Fact {
  const hertz = typeof value === "number" && /\bfrequency$/.test(name);
  return fact(name, hertz ? `${value} Hz` : value);
}

/** The record of a picture, section by section. */
export function sections(picture: Picture): Section[] {
  const { inputs, parameters, seed, instrument, simulated, software: programs, system: machine, kind: _, ...rest } =
    picture.provenance;
  const simulation = (simulated ?? picture.simulated) ? "yes: no physical instrument was measured" : "no";
  const found: Section[] = [
    { title: "Origin", facts: [fact("simulated", simulation), fact("seed", seed ?? "none"), ...facts(instrument)] },
    { title: "System", facts: system(machine) },
    { title: "Software", facts: software(programs) },
    { title: "Inputs (SHA-256)", facts: facts(inputs) },
    { title: "Parameters", facts: flatten(record(parameters)).map(parameter) },
    {
      title: "This picture (SHA-256)",
      facts: [fact("file", picture.sha256), fact("numbers alone", picture.pixels_sha256)],
    },
    { title: "More", facts: facts(rest) },
  ];
  return found.filter((section) => section.facts.length > 0);
}
