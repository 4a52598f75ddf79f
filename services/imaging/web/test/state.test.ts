import { describe, expect, it } from "vitest";
import type { Happening } from "../src/api";
import { announcement, current, initial, reduce, shown } from "../src/state";
import type { Model, News } from "../src/state";
import { run, safety } from "./samples";

const start = initial(new Date("2026-03-01T10:00:00Z"));
const after = (...news: News[]): Model => news.reduce(reduce, start);
const progress = (done: number) => ({ stage: "measuring", done, total: 10 });

function happening(id: number, runId: number | null): Happening {
  return { id, run_id: runId, time: "2026-03-01T10:00:00Z", kind: "started", text: `event ${id}`, details: {} };
}

describe("runs", () => {
  it("are newest first, each once, with their newest state", () => {
    const model = after(
      { type: "runs", runs: [run(2), run(1)], asked: 0, full: false },
      { type: "run", run: run(3, { state: "running", progress: progress(1) }) },
      { type: "run", run: run(3, { state: "running", progress: progress(7) }) },
    );
    expect(model.runs.map((r) => r.id)).toEqual([3, 2, 1]);
    expect(model.runs[0]?.progress?.done).toBe(7);
  });

  it("are not set back by an answer that live news overtook", () => {
    const model = after(
      { type: "run", run: run(1, { state: "done" }) },
      { type: "runs", runs: [run(1, { state: "running" })], asked: 0, full: false },
      { type: "detail", run: { ...run(1, { state: "running" }), events: [happening(1, 1)] }, asked: 0 },
    );
    expect(model.runs[0]?.state).toBe("done");
    expect(model.happenings[1]).toHaveLength(1);
  });

  it("are brought up to date by an answer that was asked for later", () => {
    const model = after(
      { type: "run", run: run(1, { state: "running" }) },
      { type: "runs", runs: [run(1, { state: "interrupted" })], asked: 1, full: false },
    );
    expect(model.runs[0]?.state).toBe("interrupted");
  });

  it("that are older never replace what is known", () => {
    const model = after(
      { type: "runs", runs: [run(5, { state: "running" })], asked: 0, full: true },
      { type: "older", runs: [run(5), run(4)], full: false },
    );
    expect(model.runs.map((r) => [r.id, r.state])).toEqual([
      [5, "running"],
      [4, "done"],
    ]);
    expect(model.older).toBe(false);
  });

  it("that run come before those that wait, and those in their order", () => {
    const queued = [run(8, { state: "queued" }), run(9, { state: "queued" })];
    expect(current(after({ type: "runs", runs: queued, asked: 0, full: false }))?.id).toBe(8);
    const running = run(7, { state: "running" });
    expect(current(after({ type: "runs", runs: [...queued, running], asked: 0, full: false }))?.id).toBe(7);
    expect(current(after({ type: "run", run: run(1) }))).toBeNull();
  });
});

describe("what is shown", () => {
  const runs = [run(3, { state: "running" }), run(2, { picture_ids: [1] }), run(1, { kind: "calibration" })];
  const model = after({ type: "runs", runs, asked: 0, full: false });

  it("is the newest picture, until somebody chooses", () => {
    expect(shown(model)?.id).toBe(2);
    const next = reduce(model, { type: "run", run: run(3, { picture_ids: [2] }) });
    expect(shown(next)?.id).toBe(3);
  });

  it("stays with the choice", () => {
    const chosen = reduce(model, { type: "choose", run: 1 });
    expect(shown(reduce(chosen, { type: "run", run: run(3, { picture_ids: [2] }) }))?.id).toBe(1);
    expect(shown(reduce(chosen, { type: "choose", run: null }))?.id).toBe(2);
  });
});

describe("happenings", () => {
  it("belong to their run, in order, each once", () => {
    const model = after(
      { type: "happening", happening: happening(5, 1) },
      { type: "detail", run: { ...run(1), events: [happening(4, 1), happening(5, 1)] }, asked: 0 },
      { type: "happening", happening: happening(6, null) },
    );
    expect(model.happenings[1]?.map((h) => h.id)).toEqual([4, 5]);
    expect(Object.keys(model.happenings)).toEqual(["1"]);
  });
});

describe("the link", () => {
  it("keeps the time at which it was lost", () => {
    const first = new Date("2026-03-01T10:00:01Z");
    const model = after(
      { type: "link", state: "lost", at: first },
      { type: "link", state: "lost", at: new Date("2026-03-01T10:00:09Z") },
    );
    expect(model.link.since).toBe(first);
  });
});

describe("announcements", () => {
  const quiet = after(
    { type: "link", state: "live", at: new Date() },
    { type: "runs", runs: [run(2, { state: "running", progress: progress(1) })], asked: 0, full: true },
    { type: "safety", safety: safety() },
  );
  const said = (...news: News[]) => announcement(quiet, news.reduce(reduce, quiet));

  it("tell changes of state", () => {
    expect(said({ type: "safety", safety: safety({ state: "ENERGISED" }) })).toBe("Safety: ENERGISED.");
    expect(said({ type: "run", run: run(2) })).toBe("Scan 2: done.");
    expect(said({ type: "link", state: "lost", at: new Date() })).toContain("not live");
    const cause = { name: "coil", time: "2026-03-01T10:00:00Z", message: "the coil is too hot" };
    expect(said({ type: "safety", safety: safety({ state: "FAULT", first_cause: cause }) })).toBe(
      "Safety: FAULT. the coil is too hot.",
    );
  });

  it("leave out progress, and what the operator asked to list", () => {
    expect(said({ type: "run", run: run(2, { state: "running", progress: progress(9) }) })).toBe("");
    expect(said({ type: "older", runs: [run(1)], full: false })).toBe("");
    expect(announcement(start, reduce(start, { type: "runs", runs: [run(1)], asked: 0, full: false }))).toBe("");
  });
});
