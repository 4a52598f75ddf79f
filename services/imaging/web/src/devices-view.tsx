/** The devices, live, in the place of the picture; they are read only while somebody looks. */

import { useEffect, useState } from "preact/hooks";
import type { Device, Devices } from "./api";
import { DEVICE_WORDS, devicesTitle, followDevices, propertyText } from "./devices";
import { Icon } from "./icons";
import { words } from "./format";

const ICONS = { answers: "ok", fails: "tripped", busy: "warning" } as const;

export function DevicesView({ live }: { live: boolean }) {
  const [devices, setDevices] = useState<Devices | null>(null);
  const [current, setCurrent] = useState(false);

  useEffect(() => {
    setCurrent(false);
    if (!live) return;
    return followDevices((heard) => {
      setCurrent(heard !== null);
      if (heard !== null) setDevices(heard);
    });
  }, [live]);

  return (
    <section class="view" aria-label="Devices">
      <div class="view-scroll devices">
        <h2>{devices === null ? "Devices" : devicesTitle(devices)}</h2>
        {!current && (
          <p class="quiet">
            {devices === null ? "Asking the devices…" : "Not live: what is dimmed is from before."}
          </p>
        )}
        <div class={current ? "device-list" : "device-list stale"}>
          {devices?.devices.map((device) => <DevicePanel key={device.name} device={device} />)}
        </div>
      </div>
    </section>
  );
}

function DevicePanel({ device }: { device: Device }) {
  const { name, adapter, where, state, error, properties } = device;
  return (
    <section class={`device ${state}`} aria-label={name}>
      <h3>
        <span class="name">{name}</span>
        <span>
          {adapter}
          {where !== "" && <bdi> · {where}</bdi>}
        </span>
        <span class="device-state">
          <Icon name={ICONS[state]} />
          {DEVICE_WORDS[state]}
        </span>
      </h3>
      {error !== "" && <p class="message">{error}</p>}
      {error === "" && (
        <dl>
          {properties.map((property) => (
            <div key={property.name}>
              <dt title={property.description}>
                <bdi>{words(property.name)}</bdi>
              </dt>
              <dd>
                <bdi>{propertyText(property)}</bdi>
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
