/** What the devices say: the stream that carries it while somebody looks, and the words for it. */

import { BASE } from "./api";
import type { Device, DeviceProperty, Devices } from "./api";
import { number, unitSymbol } from "./format";

const RETRY_MS = 1500;
const LONGEST = 80;

/** Follow the devices until closed; null whenever the stream has ended. The service keeps them open for as long. */
export function followDevices(tell: (devices: Devices | null) => void): () => void {
  let source: EventSource;
  let retry: number | undefined;

  function connect() {
    source = new EventSource(`${BASE}/devices/events`);
    source.addEventListener("devices", (event: MessageEvent<string>) => tell(JSON.parse(event.data) as Devices));
    source.onerror = () => {
      source.close();
      tell(null);
      retry = setTimeout(connect, RETRY_MS);
    };
  }

  connect();
  return () => {
    clearTimeout(retry);
    source.close();
  };
}

export const DEVICE_WORDS: Record<Device["state"], string> = {
  answers: "answers",
  fails: "fails",
  busy: "busy: a run opens or closes it",
};

/** What a property is now, or why nobody knows. */
export function propertyText(property: DeviceProperty): string {
  const { kind, value, unit, text, error } = property;
  if (error !== "") return error;
  const whole = kind === "number" && typeof value === "number" ? `${number(value)} ${unitSymbol(unit)}`.trim() : text;
  return whole.length <= LONGEST ? whole : `${whole.slice(0, LONGEST - 1)}…`;
}

/** Who has the devices, and whether they are real. */
export function devicesTitle(devices: Devices): string {
  const whose = devices.held_by === "" ? "" : `, held by ${devices.held_by}`;
  return `Devices of ${devices.instrument}${devices.simulated ? " (simulated)" : ""}${whose}`;
}
