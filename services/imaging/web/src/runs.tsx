/** The runs, newest first. */

import { useState } from "preact/hooks";
import { getRuns, PAGE_OF_RUNS } from "./api";
import type { Run } from "./api";
import { when } from "./format";
import { runName, shown } from "./state";
import type { Model, News } from "./state";

interface Props {
  model: Model;
  tell: (news: News) => void;
}

const MARKS: Record<Run["state"], string> = {
  queued: "…",
  running: "▶",
  paused: "‖",
  done: "✓",
  failed: "✕",
  cancelled: "–",
  interrupted: "!",
};

export function RunList({ model, tell }: Props) {
  const picked = shown(model);
  return (
    <section class="runs" aria-label="Runs">
      <div class="heading">
        <h2>Runs</h2>
        {model.chosen !== null && (
          <button type="button" class="plain" onClick={() => tell({ type: "choose", run: null })}>
            Newest picture
          </button>
        )}
      </div>
      {model.listed && model.runs.length === 0 && (
        <p class="empty">No runs yet. Press Calibrate once, then Scan: the picture appears here.</p>
      )}
      <ol class="dims">
        {model.runs.map((run) => (
          <li key={run.id}>
            <button
              type="button"
              class={`run ${run.state}`}
              aria-current={run.id === picked?.id ? "true" : undefined}
              onClick={() => tell({ type: "choose", run: run.id })}
            >
              <RunSummary run={run} />
            </button>
          </li>
        ))}
      </ol>
      {model.older && <Older model={model} tell={tell} />}
    </section>
  );
}

function RunSummary({ run }: { run: Run }) {
  return (
    <>
      <span class="run-name">
        {runName(run)}
        {run.simulated && <span class="tag"> simulated</span>}
      </span>
      <span class="run-state">
        <span class="mark" aria-hidden="true">
          {MARKS[run.state]}
        </span>{" "}
        {run.state}
      </span>
      <time dateTime={run.requested_at}>{when(run.requested_at, new Date())}</time>
      {run.message && <span class="run-message">{run.message}</span>}
    </>
  );
}

function Older({ model, tell }: Props) {
  const [failure, setFailure] = useState("");
  const oldest = model.runs.at(-1)?.id;

  async function more() {
    setFailure("");
    try {
      const runs = await getRuns(oldest);
      tell({ type: "older", runs, full: runs.length === PAGE_OF_RUNS });
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
    }
  }

  return (
    <>
      <button type="button" class="plain" onClick={more}>
        Older runs
      </button>
      {failure !== "" && (
        <p class="refused" role="alert">
          {failure}
        </p>
      )}
    </>
  );
}
