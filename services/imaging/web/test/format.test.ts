import { describe, expect, it } from "vitest";
import { duration, exact, number, percent, stamp, title, unitSymbol, when, words } from "../src/format";

describe("times", () => {
  // Written without a zone, so that it is local time wherever the test runs.
  const now = new Date("2026-03-02T18:00:00");

  it("are as short as they can be without doubt", () => {
    expect(when("2026-03-02T09:05:02", now)).toBe("09:05:02");
    expect(when("2026-03-01T23:59:59", now)).toBe("1 Mar 23:59");
    expect(when("2025-12-31T09:05:02", now)).toBe("31 Dec 2025");
    expect(stamp("2026-03-01T09:05:02")).toBe("2026-03-01 09:05:02");
  });

  it("are shown as they came if they are none", () => {
    expect(when("soon", now)).toBe("soon");
    expect(stamp("soon")).toBe("soon");
  });

  it("last as long as a person would say", () => {
    expect([0.44, 9.94, 42.4, 59.6, 185, 7620].map(duration)).toEqual([
      "0.4 s",
      "9.9 s",
      "42 s",
      "1 min 00 s",
      "3 min 05 s",
      "2 h 07 min",
    ]);
    expect(duration(-0.2)).toBe("0.0 s");
  });
});

describe("numbers", () => {
  it("keep three significant digits and the whole integer part", () => {
    expect([24.4567, 0.51249, 1234.5, -3.14159, 0, 100].map(number)).toEqual([
      "24.5",
      "0.512",
      "1235",
      "-3.14",
      "0",
      "100",
    ]);
    expect(number(0.00001234)).toBe("1.23e-5");
  });

  it("say when there is none", () => {
    expect(number(Number.NaN)).toBe("no number");
  });

  it("are exact in a record", () => {
    expect(exact(0.1234567890123)).toBe("0.1234567890123");
    expect(exact([0.012, 0.012])).toBe("0.012, 0.012");
    expect(exact(null)).toBe("none");
    expect(exact(true)).toBe("yes");
  });

  it("reach 100 percent only at the end", () => {
    expect(percent(999, 1000)).toBe(99);
    expect(percent(1000, 1000)).toBe(100);
    expect(percent(0, 0)).toBe(0);
    expect(percent(5, 4)).toBe(100);
  });
});

describe("names and units", () => {
  it("are written as people write them", () => {
    expect(words("coil-temperature")).toBe("coil temperature");
    expect(title("emergency_stop")).toBe("Emergency stop");
    expect(unitSymbol("degC")).toBe("°C");
    expect(unitSymbol("A")).toBe("A");
  });
});
