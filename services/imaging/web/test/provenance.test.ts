import { expect, it } from "vitest";
import { problemText } from "../src/api";
import { sections } from "../src/provenance";
import { picture } from "./samples";

const HASH = "0123456789abcdef".repeat(4);

/** Shaped as nixel.imaging.provenance.record shapes it. */
const RECORD = {
  kind: "picture",
  inputs: { measurement: HASH, calibration: HASH },
  parameters: { relative_lambda: 0.01, lowest_frequency: 30000, grid: { size: [30, 30] } },
  seed: 7,
  instrument: { name: "virtual-scanner", fingerprint: HASH },
  simulated: true,
  software: { revision: `${"c".repeat(40)}+changed`, python: "3.11.2", machine: "x86_64", versions: { numpy: "2.1.0" } },
  system: { store_path: null, note: "the hashes of the lock files stand in", locks: { "flake.lock": HASH } },
};

function facts(provenance: Record<string, unknown>, section: string): Record<string, string> {
  const found = sections(picture(1, provenance)).find(({ title }) => title === section);
  return Object.fromEntries((found?.facts ?? []).map(({ label, value }) => [label, value]));
}

it("shows the lock files and their note where there is no store path", () => {
  const system = facts(RECORD, "System");
  expect(system).toEqual({ note: "the hashes of the lock files stand in", "flake.lock": HASH });
});

it("shows the store path on NixOS", () => {
  const path = "/nix/store/abc-nixos-system-scanner";
  expect(facts({ ...RECORD, system: { store_path: path } }, "System")).toEqual({ "store path": path });
});

it("says that the software was changed beside its revision", () => {
  const software = facts(RECORD, "Software");
  expect(software["revision"]).toBe("c".repeat(40));
  expect(software["beside it"]).toBe("uncommitted changes");
  expect(software["numpy"]).toBe("2.1.0");
  const unknown = facts({ ...RECORD, software: { revision: null } }, "Software");
  expect(unknown["revision"]).toContain("not known");
});

it("shows every parameter exactly, nested ones too, frequencies with their unit", () => {
  expect(facts(RECORD, "Parameters")).toEqual({
    "relative lambda": "0.01",
    "lowest frequency": "30000 Hz",
    "grid · size": "30, 30",
  });
});

it("says whether it is simulated, and with which seed", () => {
  const origin = facts(RECORD, "Origin");
  expect(origin["simulated"]).toContain("yes");
  expect(origin["seed"]).toBe("7");
  expect(facts({ ...RECORD, simulated: false, seed: null }, "Origin")).toMatchObject({ simulated: "no", seed: "none" });
});

it("hides nothing that it does not know, and survives an empty record", () => {
  expect(facts({ ...RECORD, operator: { name: "x" } }, "More")).toEqual({ "operator · name": "x" });
  expect(facts({}, "This picture (SHA-256)")).toEqual({ file: "aa".repeat(32), "numbers alone": "bb".repeat(32) });
});

it("finds the sentence in a problem, and says so when there is none", () => {
  expect(problemText(409, '{"title": "Conflict", "detail": "There is no calibration yet."}')).toBe(
    "There is no calibration yet.",
  );
  expect(problemText(500, '{"title": "Internal Server Error"}')).toBe("Internal Server Error");
  expect(problemText(502, "<html>")).toContain("502");
  expect(problemText(502, "null")).toContain("502");
});
