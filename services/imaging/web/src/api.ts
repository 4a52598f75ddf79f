/** The HTTP interface, typed by its own description (../openapi.json). */

import type { components } from "./api-types";

type Schemas = components["schemas"];

export type Status = Schemas["StatusAnswer"];
export type Safety = Schemas["SafetyAnswer"];
export type Bypass = Schemas["BypassAnswer"];
export type Interlock = Schemas["InterlockAnswer"];
export type Run = Schemas["RunAnswer"];
export type RunDetail = Schemas["RunDetail"];
export type RunKind = Schemas["RunKind"];
export type Picture = Schemas["PictureAnswer"];
export type Devices = Schemas["DevicesAnswer"];
export type Device = Schemas["DeviceAnswer"];
export type DeviceProperty = Schemas["PropertyAnswer"];
export type Plan = Schemas["PlanAnswer"];
export type Sequence = Schemas["SequenceAnswer"];
export type Happening = Schemas["EventAnswer"];

export const BASE = "/api/v1";
export const PAGE_OF_RUNS = 50;

/** Longer than any answer on a healthy loopback or local network takes, shorter than patience. */
const TIMEOUT_MS = 5000;

/** A request that came to nothing, in words for the person at the page. */
export class RequestFailed extends Error {
  /** Whether the service answered at all. */
  readonly answered: boolean;

  constructor(message: string, answered: boolean) {
    super(message);
    this.answered = answered;
  }
}

/** The sentence in a problem answer (RFC 9457), or what can be said without one. */
export function problemText(status: number, body: string): string {
  try {
    const problem: unknown = JSON.parse(body);
    if (typeof problem === "object" && problem !== null) {
      const { detail, title } = problem as { detail?: unknown; title?: unknown };
      if (typeof detail === "string" && detail !== "") return detail;
      if (typeof title === "string" && title !== "") return title;
    }
  } catch (error) {
    // Something in front of the service answered in its own words: the status is all that is known.
    if (!(error instanceof SyntaxError)) throw error;
  }
  return `The service answered with status ${status} and no explanation.`;
}

async function ask<Answer>(path: string, init: RequestInit, timeout: number): Promise<Answer> {
  let response: Response;
  let body: string;
  try {
    response = await fetch(BASE + path, { cache: "no-store", signal: AbortSignal.timeout(timeout), ...init });
    body = await response.text();
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const why = late ? `did not answer within ${timeout / 1000} s` : "cannot be reached";
    throw new RequestFailed(`The imaging service ${why}.`, false);
  }
  if (!response.ok) throw new RequestFailed(problemText(response.status, body), true);
  return JSON.parse(body) as Answer;
}

function get<Answer>(path: string, timeout = TIMEOUT_MS): Promise<Answer> {
  return ask<Answer>(path, {}, timeout);
}

function post<Answer>(path: string, body: object, timeout = TIMEOUT_MS): Promise<Answer> {
  const headers = { "Content-Type": "application/json" };
  return ask<Answer>(path, { method: "POST", headers, body: JSON.stringify(body) }, timeout);
}

export const getStatus = () => get<Status>("/status");
export const getSafety = (timeout?: number) => get<Safety>("/safety", timeout);
export const getRun = (id: number) => get<RunDetail>(`/runs/${id}`);
export const getPicture = (id: number) => get<Picture>(`/pictures/${id}`);

export function getRuns(before?: number): Promise<Run[]> {
  const older = before === undefined ? "" : `&before=${before}`;
  return get<Run[]>(`/runs?limit=${PAGE_OF_RUNS}${older}`);
}

export const startRun = (kind: RunKind) => post<Run>("/runs", { kind } satisfies Schemas["RunRequest"]);

/** What a sequence file would take; nothing is done. */
export const previewSequence = (name: string, text: string) =>
  post<Sequence>("/sequences", { name, text } satisfies Schemas["SequenceRequest"]);

export function startSequence({ kind, protocol }: Sequence): Promise<Run> {
  return post<Run>("/runs", { kind, protocol } satisfies Schemas["RunRequest"]);
}

export const cancelRun = (id: number) => post<RunDetail>(`/runs/${id}/cancel`, {});
export const pauseRun = (id: number) => post<RunDetail>(`/runs/${id}/pause`, {});
export const resumeRun = (id: number) => post<RunDetail>(`/runs/${id}/resume`, {});

export function stop(reason: string): Promise<Safety> {
  return post<Safety>("/safety/stop", { reason } satisfies Schemas["StopRequest"], 3000);
}

export const previewUrl = (picture: number) => `${BASE}/pictures/${picture}/preview.png`;
export const fileUrl = (picture: number) => `${BASE}/pictures/${picture}/file`;
