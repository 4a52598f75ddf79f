import { describe, expect, it } from "vitest";
import type { DeviceProperty } from "../src/api";
import { devicesTitle, propertyText } from "../src/devices";

function property(changes: Partial<DeviceProperty>): DeviceProperty {
  return {
    name: "position_x",
    kind: "number",
    unit: "m",
    description: "",
    minimum: null,
    maximum: null,
    choices: [],
    read_only: true,
    value: 0.0025,
    text: "0.0025 m",
    error: "",
    ...changes,
  };
}

describe("a property", () => {
  it("is a number with its unit", () => {
    expect(propertyText(property({}))).toBe("0.00250 m");
    expect(propertyText(property({ unit: "degC", value: 24.5 }))).toBe("24.5 °C");
    expect(propertyText(property({ unit: "", value: 2 }))).toBe("2.00");
  });

  it("is what the service says where it is no number", () => {
    expect(propertyText(property({ kind: "boolean", value: true, text: "true" }))).toBe("true");
    expect(propertyText(property({ value: null, text: "nan m" }))).toBe("nan m");
    expect(propertyText(property({ value: null, text: "", error: "the robot is silent" }))).toBe("the robot is silent");
  });

  it("is never longer than its place", () => {
    expect(propertyText(property({ kind: "text", value: "x".repeat(500), text: "x".repeat(500) }))).toHaveLength(80);
  });
});

describe("the title", () => {
  const devices = { instrument: "virtual-scanner", simulated: true, taken_at: "", held_by: "", devices: [] };

  it("says what is simulated and who has the devices", () => {
    expect(devicesTitle(devices)).toBe("Devices of virtual-scanner (simulated)");
    expect(devicesTitle({ ...devices, simulated: false, held_by: "run 3" })).toBe(
      "Devices of virtual-scanner, held by run 3",
    );
  });
});
