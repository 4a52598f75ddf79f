import type { Interlock, Picture, Run, Safety } from "../src/api";

export function run(id: number, changes: Partial<Run> = {}): Run {
  return {
    id,
    kind: "scan",
    state: "done",
    simulated: true,
    message: "",
    protocol: {},
    reconstruction: {},
    calibration_id: null,
    requested_at: "2026-03-01T10:00:00Z",
    started_at: null,
    finished_at: null,
    dataset_ids: [],
    picture_ids: [],
    progress: null,
    ...changes,
  };
}

export function safety(changes: Partial<Safety> = {}): Safety {
  return { reachable: true, state: "SAFE", outputs: { amplifier: false }, interlocks: [], ...changes };
}

export function interlock(changes: Partial<Interlock> = {}): Interlock {
  return {
    name: "coil-temperature",
    kind: "limit",
    healthy: true,
    warning: false,
    value: 24.5,
    unit: "degC",
    age_s: 0.01,
    message: "",
    bypassed: false,
    ...changes,
  };
}

export function picture(id: number, provenance: Picture["provenance"]): Picture {
  return {
    id,
    run_id: 1,
    dataset_id: 1,
    calibration_id: 1,
    path: `pictures/picture-${id}.mdf`,
    sha256: "aa".repeat(32),
    pixels_sha256: "bb".repeat(32),
    simulated: true,
    provenance,
    created_at: "2026-03-01T10:00:00Z",
  };
}
