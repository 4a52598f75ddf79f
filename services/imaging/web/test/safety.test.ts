import { describe, expect, it } from "vitest";
import { interlockLevel, outputsOn, reading, stopFailure, stopOutcome, wording } from "../src/safety";
import { interlock, safety } from "./samples";

describe("the state's word", () => {
  it.each(["SAFE", "ARMED", "ENERGISED", "FAULT"])("is the daemon's: %s", (state) => {
    const { word, level } = wording(safety({ state }), true);
    expect(word).toBe(state);
    expect(level).toBe(state.toLowerCase());
  });

  it("is UNKNOWN as soon as the page is not live, whatever was last heard", () => {
    for (const state of ["SAFE", "ARMED", "ENERGISED", "FAULT"]) {
      const { word, level, says } = wording(safety({ state }), false);
      expect([word, level]).toEqual(["UNKNOWN", "unknown"]);
      expect(says).toContain(state);
    }
    expect(wording(null, false).word).toBe("UNKNOWN");
  });

  it("never calls a silent daemon or a strange state safe", () => {
    for (const strange of [safety({ reachable: false, state: null }), safety({ state: "NEW" }), safety({ state: null })]) {
      const { level, says } = wording(strange, true);
      expect(level).toBe("unknown");
      expect(says).toContain("regard the power as on");
    }
    expect(wording(null, true).level).toBe("unknown");
  });

  it("names the outputs that are on", () => {
    const energised = safety({ state: "ENERGISED", outputs: { amplifier: true, "focus-field": false } });
    expect(outputsOn(energised)).toEqual(["amplifier"]);
    expect(wording(energised, true).says).toBe("On: amplifier.");
  });
});

describe("an interlock", () => {
  it("is ok, near its limit, or tripped; tripped wins", () => {
    expect(interlockLevel(interlock())).toBe("ok");
    expect(interlockLevel(interlock({ warning: true }))).toBe("warning");
    expect(interlockLevel(interlock({ warning: true, healthy: false }))).toBe("tripped");
  });

  it("shows its reading with its unit", () => {
    expect(reading(interlock({ value: 24.456 }))).toBe("24.5 °C");
    expect(reading(interlock({ value: null }))).toBe("no reading");
    expect(reading(interlock({ kind: "readback", value: false, unit: null }))).toBe("off");
    expect(reading(interlock({ kind: "boolean", value: true, unit: null }))).toBe("");
  });
});

describe("the outcome of STOP", () => {
  it("is good only if the daemon confirmed that everything is off", () => {
    expect(stopOutcome(safety({ state: "SAFE" }))).toEqual({
      good: true,
      text: "Stopped: everything is off, the state is SAFE.",
    });
    expect(stopOutcome(safety({ state: "FAULT" })).good).toBe(true);
  });

  it("sends the operator to the emergency stop in every other case", () => {
    const outcomes = [
      stopOutcome(safety({ outputs: { amplifier: true } })),
      stopOutcome(safety({ state: "ENERGISED", outputs: {} })),
      stopOutcome({ reachable: false, message: "no socket" }),
      stopFailure("The imaging service cannot be reached."),
    ];
    for (const { good, text } of outcomes) {
      expect(good).toBe(false);
      expect(text).toContain("Press the emergency stop at the instrument.");
    }
    expect(outcomes[0]?.text).toContain("amplifier");
    expect(outcomes[2]?.text).toContain("no socket");
  });
});
