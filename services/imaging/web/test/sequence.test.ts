import { describe, expect, it } from "vitest";
import type { Plan } from "../src/api";
import { planLines, size, standing } from "../src/sequence";
import { run } from "./samples";

const PLAN: Plan = {
  instrument: "virtual-scanner",
  duration: 125,
  size: 182784,
  frames: 14,
  on_time: 0.334,
  duty: 0.194,
  heating: { part: "drive coil x", start: 22, peak: 22.14 },
  notes: ["Not counted: moves."],
};

describe("a plan", () => {
  it("is told line by line", () => {
    expect(planLines(PLAN)).toEqual([
      ["Duration", "2 min 05 s"],
      ["Frames", "14"],
      ["Data", "183 kB"],
      ["On", "0.3 s at a stretch at most, 19.4 % of the time"],
      ["Heating", "drive coil x from 22.0 to 22.1 °C at most, by the estimate"],
      ["Note", "Not counted: moves."],
    ]);
  });

  it("says so where the heating is not known", () => {
    expect(planLines({ ...PLAN, heating: null })).toContainEqual([
      "Heating",
      "not estimated: the instrument file has no data for it",
    ]);
  });
});

describe("a size", () => {
  it("has a unit that fits", () => {
    expect([0, 999, 1000, 80.8e6, 3e12].map(size)).toEqual(["0 bytes", "999 bytes", "1.00 kB", "80.8 MB", "3.00 TB"]);
  });
});

describe("where a run stands", () => {
  it("is its progress, and at the end what it left", () => {
    expect(standing(run(4, { progress: { stage: "frames", done: 3, total: 10 } }))).toBe("Frames 3 of 10");
    expect(standing(run(4, { state: "failed", progress: null, message: "the lid is open", dataset_ids: [7] }))).toBe(
      "Failed · the lid is open · dataset-7",
    );
  });
});
