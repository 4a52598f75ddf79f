import { describe, expect, it } from "vitest";
import { bypassWords, interlockLevel, lasting, outputsOn, reading, stopFailure, stopOutcome, wording } from "../src/safety";
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

  it("comes with the daemon's own advice, but not when that is old", () => {
    const advised = safety({ state: "FAULT", what_to_do: "Let the coil cool, then reset." });
    expect(wording(advised, true).says).toBe("Let the coil cool, then reset.");
    expect(wording(advised, false).says).not.toContain("reset");
  });

  it("names the outputs that are on", () => {
    expect(outputsOn(safety({ outputs: { "focus-field": true, amplifier: false } }))).toEqual(["focus field"]);
  });
});

describe("an interlock", () => {
  it("is ok, near its limit, or tripped; tripped wins", () => {
    expect(interlockLevel(interlock())).toBe("ok");
    expect(interlockLevel(interlock({ warning: true }))).toBe("warning");
    expect(interlockLevel(interlock({ warning: true, healthy: false }))).toBe("tripped");
  });

  it("is bypassed whatever it finds", () => {
    for (const healthy of [true, false]) expect(interlockLevel(interlock({ bypassed: true, healthy }))).toBe("bypassed");
  });

  it("shows its reading with its unit", () => {
    expect(reading(interlock({ value: 24.456 }))).toBe("24.5 °C");
    expect(reading(interlock({ value: null }))).toBe("no reading");
    expect(reading(interlock({ kind: "readback", value: false, unit: null }))).toBe("off");
    expect(reading(interlock({ kind: "boolean", value: true, unit: null }))).toBe("");
  });
});

describe("a bypass", () => {
  it("says what is not guarded, until when, by whom and why", () => {
    const until = new Date(2026, 2, 1, 9, 15, 2);
    const bypass = { interlock: "lab-door", by: "anna (user 1000, process 7)", reason: "a probe", until: until.toISOString() };
    expect(bypassWords(bypass, new Date(2026, 2, 1, 9, 5, 2))).toEqual({
      title: "BYPASSED: lab door",
      until: "It protects nobody until 09:15:02, or the next stop or fault.",
      by: "By anna (user 1000, process 7).",
      why: "Why: a probe",
    });
  });
});

describe("the outcome of STOP", () => {
  it("is good only if the daemon confirmed that everything is off", () => {
    expect(stopOutcome(safety({ state: "SAFE" }))).toEqual({
      kind: "off",
      text: "Stopped: everything is off, the state is SAFE.",
    });
    expect(stopOutcome(safety({ state: "FAULT" })).kind).toBe("off");
  });

  it("sends the operator to the emergency stop in every other case", () => {
    const outcomes = [
      stopOutcome(safety({ outputs: { amplifier: true } })),
      stopOutcome(safety({ state: "ENERGISED", outputs: {} })),
      stopOutcome({ reachable: false, message: "no socket" }),
      stopFailure("The imaging service cannot be reached."),
    ];
    expect(outcomes.map(({ kind }) => kind)).toEqual(["still-on", "still-on", "failed", "failed"]);
    for (const { text } of outcomes) expect(text).toContain("Press the emergency stop at the instrument.");
    expect(outcomes[0]?.text).toContain("amplifier");
    expect(outcomes[2]?.text).toContain("no socket");
  });

  it("does not claim that all is off where an output's own report says otherwise, or is missing", () => {
    for (const [value, message] of [[true, "amplifier reports that it is on"], [null, "no reading from readback:ac"]] as const) {
      const readback = interlock({ name: "amplifier readback", kind: "readback", healthy: false, unit: null, value, message });
      const { kind, text } = stopOutcome(safety({ state: "FAULT", interlocks: [readback] }));
      expect(kind).toBe("still-on");
      expect(text).toContain(message);
      expect(text).toContain("Press the emergency stop at the instrument.");
    }
  });

  it("goes when it is no longer true, but a failure stays until STOP is pressed again", () => {
    const [safe, energised] = [safety(), safety({ state: "ENERGISED", outputs: { amplifier: true } })];
    const [off, on, failed] = [stopOutcome(safe), stopOutcome(energised), stopFailure("")];
    expect(lasting(off, safe, true)).toBe(off);
    expect(lasting(off, energised, true)).toBeNull();
    expect(lasting(off, safe, false)).toBeNull();
    expect(lasting(on, energised, true)).toBe(on);
    expect(lasting(on, safe, true)?.kind).toBe("off");
    expect(lasting(on, safe, false)).toBe(on);
    for (const live of [true, false]) expect(lasting(failed, safe, live)).toBe(failed);
  });
});
