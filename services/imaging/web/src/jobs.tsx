/** Starting work, and the work under way. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { cancelRun, pauseRun, resumeRun, startRun } from "./api";
import type { Run, RunKind } from "./api";
import { percent, title } from "./format";
import { current, isActive, isMeasuring, runName } from "./state";
import type { Model, News } from "./state";

interface Props {
  model: Model;
  tell: (news: News) => void;
}

export function JobBar({ model, tell }: Props) {
  const [refused, setRefused] = useState("");
  const [asking, setAsking] = useState(false);
  const live = model.link.state === "live";

  async function ask(question: () => Promise<Run>) {
    setAsking(true);
    setRefused("");
    const asked = model.count;
    try {
      tell({ type: "runs", runs: [await question()], asked, full: false });
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    } finally {
      setAsking(false);
    }
  }

  const start = (kind: RunKind) => () => ask(() => startRun(kind));
  const job = current(model);
  return (
    <section class="jobs" aria-label="Work">
      <div class="start">
        <button type="button" class="main" disabled={!live || asking} onClick={start("scan")}>
          Scan
        </button>
        <button type="button" disabled={!live || asking} onClick={start("calibration")}>
          Calibrate
        </button>
      </div>
      <div class="now dims">
        {job === null ? (
          <p class="quiet">{model.listed ? "Nothing is running." : "Asking what is running…"}</p>
        ) : (
          <Job run={job} waiting={model.runs.filter(isActive).length - 1}>
            {job.state === "paused" && (
              <button type="button" disabled={!live || asking} onClick={() => ask(() => resumeRun(job.id))}>
                Resume
              </button>
            )}
            {isMeasuring(job) && (
              <button type="button" disabled={!live || asking} onClick={() => ask(() => pauseRun(job.id))}>
                Pause
              </button>
            )}
            <button type="button" disabled={!live || asking} onClick={() => ask(() => cancelRun(job.id))}>
              Cancel
            </button>
          </Job>
        )}
      </div>
      <div role="alert" class="refused-area">
        {refused !== "" && live && (
          <p class="refused">
            <span>
              <strong>Refused.</strong> {refused}
            </span>
            <button type="button" aria-label="Dismiss" onClick={() => setRefused("")}>
              ✕
            </button>
          </p>
        )}
      </div>
    </section>
  );
}

function Job({ run, waiting, children }: { run: Run; waiting: number; children: ComponentChildren }) {
  const { progress } = run;
  const name = runName(run);
  const share = progress ? percent(progress.done, progress.total) : 0;
  const stage = progress ? title(progress.stage) : run.state === "queued" ? "Waiting for its turn" : "Starting";
  return (
    <>
      <div class="progress">
        <p>
          <strong>{name}</strong> <span class="stage">{stage}</span>
          {waiting > 0 && <span class="quiet"> · {waiting} more waiting</span>}
          {progress && <span class="share">{share} %</span>}
        </p>
        {/* Without a value the bar says that the work goes on, but not how far it is. */}
        <progress aria-label={`${name}: ${stage}`} max={100} {...(progress ? { value: share } : {})} />
      </div>
      {children}
    </>
  );
}
