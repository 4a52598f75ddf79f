/** What the page knows, and how each piece of news changes it: pure, so that it can be tested. */

import type { Happening, Picture, Run, RunDetail, Safety, Status } from "./api";
import { title } from "./format";

/** The event stream: "lost" since then; what is on the page is from before. */
export interface Link {
  state: "connecting" | "live" | "lost";
  since: Date;
}

export interface Model {
  link: Link;
  status: Status | null;
  safety: Safety | null;
  /** Newest first. */
  runs: Run[];
  /** Whether the list was ever received: an empty list is not the same as none. */
  listed: boolean;
  /** Whether the service may have runs older than those listed. */
  older: boolean;
  happenings: Record<number, Happening[]>;
  pictures: Record<number, Picture>;
  /** The run that the operator picked; null follows the newest picture. */
  chosen: number | null;
  /** Counts live news of runs; `heard` is the count at each run's last news. */
  count: number;
  heard: Record<number, number>;
}

export type News =
  | { type: "link"; state: Link["state"]; at: Date }
  | { type: "status"; status: Status }
  | { type: "safety"; safety: Safety }
  | { type: "run"; run: Run }
  | { type: "runs"; runs: Run[]; asked: number; full: boolean }
  | { type: "older"; runs: Run[]; full: boolean }
  | { type: "detail"; run: RunDetail; asked: number }
  | { type: "happening"; happening: Happening }
  | { type: "picture"; picture: Picture }
  | { type: "choose"; run: number | null };

export function initial(now: Date): Model {
  return {
    link: { state: "connecting", since: now },
    status: null,
    safety: null,
    runs: [],
    listed: false,
    older: false,
    happenings: {},
    pictures: {},
    chosen: null,
    count: 0,
    heard: {},
  };
}

function merge(known: Run[], news: Run[]): Run[] {
  const byId = new Map(known.map((run) => [run.id, run]));
  for (const run of news) byId.set(run.id, run);
  return [...byId.values()].sort((a, b) => b.id - a.id);
}

function addHappenings(known: Happening[] | undefined, news: Happening[]): Happening[] {
  const byId = new Map((known ?? []).map((happening) => [happening.id, happening]));
  for (const happening of news) byId.set(happening.id, happening);
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

/** An answer is older than any news that came after it was asked for. */
function notOvertaken(model: Model, asked: number): (run: Run) => boolean {
  return (run) => (model.heard[run.id] ?? 0) <= asked;
}

export function reduce(model: Model, news: News): Model {
  switch (news.type) {
    case "link":
      if (news.state === model.link.state) return model;
      return { ...model, link: { state: news.state, since: news.at } };
    case "status":
      return { ...model, status: news.status };
    case "safety":
      return { ...model, safety: news.safety };
    case "run": {
      const count = model.count + 1;
      const heard = { ...model.heard, [news.run.id]: count };
      return { ...model, count, heard, runs: merge(model.runs, [news.run]) };
    }
    case "runs": {
      const runs = merge(model.runs, news.runs.filter(notOvertaken(model, news.asked)));
      return { ...model, runs, listed: true, older: model.listed ? model.older : news.full };
    }
    case "older":
      return { ...model, runs: merge(news.runs, model.runs), older: news.full };
    case "detail": {
      const { events, ...run } = news.run;
      const runs = notOvertaken(model, news.asked)(run) ? merge(model.runs, [run]) : model.runs;
      const happenings = { ...model.happenings, [run.id]: addHappenings(model.happenings[run.id], events) };
      return { ...model, runs, happenings };
    }
    case "happening": {
      const run = news.happening.run_id;
      if (run === null) return model;
      const list = addHappenings(model.happenings[run], [news.happening]);
      return { ...model, happenings: { ...model.happenings, [run]: list } };
    }
    case "picture":
      return { ...model, pictures: { ...model.pictures, [news.picture.id]: news.picture } };
    case "choose":
      return { ...model, chosen: news.run };
  }
}

/** Whether the scanner has begun it and not ended it. */
export const isBegun = (run: Run) => run.state === "running" || run.state === "paused";
export const isActive = (run: Run) => isBegun(run) || run.state === "queued";

/** Whether it can be paused: not before its first frame, nor when it has measured all of them. */
export const isMeasuring = (run: Run) =>
  run.state === "running" && run.progress !== null && !["writing", "reconstructing"].includes(run.progress.stage);

/** The run that the scanner works on, or the one that it will take next. */
export function current(model: Model): Run | null {
  const active = model.runs.filter(isActive).reverse();
  return active.find(isBegun) ?? active[0] ?? null;
}

/** The run that is shown: the chosen one, else the newest that has a picture. */
export function shown(model: Model): Run | null {
  if (model.chosen !== null) return model.runs.find((run) => run.id === model.chosen) ?? null;
  return model.runs.find((run) => run.picture_ids.length > 0) ?? null;
}

export const runName = (run: Run) => `${title(run.kind)} ${run.id}`;

/** What somebody who does not see the page must hear: changes of state, not every percent. */
export function announcement(before: Model, after: Model): string {
  const said: string[] = [];
  if (before.link.state !== after.link.state) {
    if (after.link.state === "lost") said.push("Connection lost. What is shown is not live.");
    else if (before.link.state === "lost" && after.link.state === "live") said.push("Connected again.");
  }
  const [was, is] = [before.safety, after.safety];
  if (is !== null && (was?.state !== is.state || was?.reachable !== is.reachable)) {
    said.push(is.reachable ? `Safety: ${is.state ?? "unknown"}.` : "The safety daemon does not answer.");
    if (is.reachable && is.state === "FAULT" && is.first_cause) said.push(`${is.first_cause.message}.`);
  }
  if (before.listed) {
    const known = new Map(before.runs.map((run) => [run.id, run.state]));
    for (const run of after.runs) {
      if (known.get(run.id) === run.state) continue;
      // Older runs that the operator asked to list are not news.
      if (!known.has(run.id) && run.id < (before.runs[0]?.id ?? 0)) continue;
      said.push(`${runName(run)}: ${run.state}${run.message ? `, ${run.message}` : ""}.`);
    }
  }
  return said.join(" ");
}
