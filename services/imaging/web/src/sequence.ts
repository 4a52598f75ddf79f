/** What the plan of a sequence says, in words: pure, so that it can be tested. */

import type { Plan, Run } from "./api";
import { duration, number, title } from "./format";

/** Bytes as people write them: "183 kB". */
export function size(bytes: number): string {
  let count = bytes;
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (count < 1000) return `${unit === "bytes" ? count : number(count)} ${unit}`;
    count /= 1000;
  }
  return `${number(count)} TB`;
}

/** Label and text of each line of a plan. */
export function planLines(plan: Plan): [string, string][] {
  const { heating } = plan;
  const warmth = heating
    ? `${heating.part} from ${heating.start.toFixed(1)} to ${heating.peak.toFixed(1)} °C at most, by the estimate`
    : "not estimated: the instrument file has no data for it";
  return [
    ["Duration", duration(plan.duration)],
    ["Frames", String(plan.frames)],
    ["Data", size(plan.size)],
    ["On", `${duration(plan.on_time)} at a stretch at most, ${number(plan.duty * 100)} % of the time`],
    ["Heating", warmth],
    ...plan.notes.map((note): [string, string] => ["Note", note]),
  ];
}

/** Where a run stands: "Frames 3 of 10", or how it ended. */
export function standing(run: Run): string {
  if (run.progress) return `${title(run.progress.stage)} ${run.progress.done} of ${run.progress.total}`;
  const kept = run.dataset_ids.map((id) => `dataset-${id}`).join(", ");
  return [title(run.state), run.message, kept].filter((part) => part !== "").join(" · ");
}
