/** A sequence file: what it would take, looked at before anything moves; then its run. */

import { useState } from "preact/hooks";
import { previewSequence, startSequence } from "./api";
import type { Sequence } from "./api";
import { percent, title } from "./format";
import { planLines, standing } from "./sequence";
import { isActive, runName } from "./state";
import type { Model, News } from "./state";

interface Props {
  model: Model;
  tell: (news: News) => void;
}

interface Looked {
  name: string;
  sequence: Sequence;
}

export function SequenceView({ model, tell }: Props) {
  const [looked, setLooked] = useState<Looked | null>(null);
  const [refused, setRefused] = useState("");
  const [asking, setAsking] = useState(false);
  const [begun, setBegun] = useState<number | null>(null);
  const live = model.link.state === "live";

  async function ask(what: () => Promise<void>) {
    setAsking(true);
    setRefused("");
    try {
      await what();
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    } finally {
      setAsking(false);
    }
  }

  function look(input: HTMLInputElement) {
    const file = input.files?.[0];
    if (file === undefined) return;
    // The same file, corrected, can be chosen again.
    const chosen = file.name;
    setLooked(null);
    setBegun(null);
    void ask(async () => {
      const sequence = await previewSequence(chosen, await file.text());
      setLooked({ name: chosen, sequence });
    }).then(() => {
      input.value = "";
    });
  }

  const begin = ({ sequence }: Looked) =>
    ask(async () => {
      const asked = model.count;
      const run = await startSequence(sequence);
      setBegun(run.id);
      tell({ type: "runs", runs: [run], asked, full: false });
    });

  const run = model.runs.find(({ id }) => id === begun) ?? null;
  return (
    <section class="view" aria-label="Sequence">
      <div class="view-scroll sequence">
        <h2>Sequence</h2>
        <p class="quiet">
          A microscope's useq.MDASequence (.json, .yaml) or a scanner's protocol (also .toml). Choosing it moves nothing.
        </p>
        <label>
          Sequence file
          <input
            type="file"
            accept=".json,.yaml,.yml,.toml"
            disabled={!live || asking}
            onChange={(event) => look(event.currentTarget)}
          />
        </label>
        {refused !== "" && (
          <p class="refused" role="alert">
            <span>
              <strong>Refused.</strong> {refused}
            </span>
          </p>
        )}
        {looked !== null && (
          <section class="plan" aria-label="Plan">
            <h3>
              <bdi>{looked.name}</bdi>: {title(looked.sequence.kind).toLowerCase()} on {looked.sequence.plan.instrument}
            </h3>
            <dl>
              {planLines(looked.sequence.plan).map(([label, text]) => (
                <div key={label + text}>
                  <dt>{label}</dt>
                  <dd>{text}</dd>
                </div>
              ))}
            </dl>
            <button
              type="button"
              class="main"
              disabled={!live || asking || (run !== null && isActive(run))}
              onClick={() => begin(looked)}
            >
              Begin
            </button>
          </section>
        )}
        {run !== null && (
          <div class="begun">
            <p>
              <strong>{runName(run)}</strong> {standing(run)}
            </p>
            {isActive(run) && (
              <progress
                aria-label={`${runName(run)} of this sequence`}
                max={100}
                {...(run.progress ? { value: percent(run.progress.done, run.progress.total) } : {})}
              />
            )}
          </div>
        )}
      </div>
    </section>
  );
}
