/** The shown run: its picture, where that came from, and what happened. */

import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { fileUrl, previewUrl } from "./api";
import type { Happening, Picture, Run } from "./api";
import { duration, stamp, when } from "./format";
import { sections } from "./provenance";
import type { Fact } from "./provenance";
import { isActive, runName, shown } from "./state";
import type { Model } from "./state";

export function PictureView({ model, failure }: { model: Model; failure: string }) {
  const run = shown(model);
  if (run === null) return <NoPicture model={model} />;
  const happenings = model.happenings[run.id] ?? [];
  const pictures = run.picture_ids.flatMap((id) => model.pictures[id] ?? []);
  return (
    <section class="view" aria-label={runName(run)}>
      <div class="view-scroll dims">
        {failure !== "" && (
          <p class="refused" role="alert">
            {failure}
          </p>
        )}
        {pictures.map((picture) => (
          <PictureWithFacts key={picture.id} picture={picture} run={run}>
            <Happenings list={happenings} open={false} />
          </PictureWithFacts>
        ))}
        {run.picture_ids.length === 0 && (
          <WithoutPicture run={run}>
            <Happenings list={happenings} open />
          </WithoutPicture>
        )}
      </div>
    </section>
  );
}

function NoPicture({ model }: { model: Model }) {
  const calibrated = model.runs.some((run) => run.kind === "calibration" && run.state === "done");
  return (
    <section class="view" aria-label="Picture">
      <div class="nothing">
        {model.listed ? (
          <>
            <p class="nothing-title">No picture yet</p>
            <p>
              {calibrated
                ? "The scanner is calibrated. Press Scan to make a picture."
                : "Press Calibrate first: a scan is reconstructed with the newest calibration. Then press Scan."}
            </p>
          </>
        ) : (
          <p>Waiting for the imaging service…</p>
        )}
      </div>
    </section>
  );
}

function WithoutPicture({ run, children }: { run: Run; children: ComponentChildren }) {
  let text = "This run has no picture.";
  if (isActive(run)) text = "Under way. What it makes appears here when it is done.";
  else if (run.kind === "calibration" && run.state === "done") {
    text = "A calibration makes no picture of its own: scans are reconstructed with it. Press Scan to make one.";
  } else if (run.state !== "done") text = "It ended without a picture. When the cause is put right, start it again.";
  return (
    <div class="nothing">
      <p class="nothing-title">
        {runName(run)}: {run.state}
      </p>
      {run.message && <p class="run-message">{run.message}</p>}
      <p>{text}</p>
      {children}
    </div>
  );
}

interface PictureProps {
  picture: Picture;
  run: Run;
  children: ComponentChildren;
}

function PictureWithFacts({ picture, run, children }: PictureProps) {
  const name = `picture-${picture.id}`;
  return (
    <article class="picture">
      <div class="sight">
        <Preview picture={picture} run={run} />
        {children}
      </div>
      <div class="facts">
        <h2>
          Picture {picture.id}
          {picture.simulated && <span class="tag"> simulated</span>}
        </h2>
        <p class="quiet">
          {runName(run)}
          {run.started_at && run.finished_at && `, took ${took(run.started_at, run.finished_at)}`}
          <br />
          {stamp(picture.created_at)}
        </p>
        <p class="links">
          <a href={fileUrl(picture.id)} download>
            MDF file
          </a>
          <a href={previewUrl(picture.id)} download={`${name}.png`}>
            PNG
          </a>
        </p>
        <Command text={`nixel reproduce ${name}`} />
        {sections(picture).map((section) => (
          <section key={section.title}>
            <h3>{section.title}</h3>
            <dl>
              {section.facts.map((fact) => (
                <FactRow key={fact.label} fact={fact} />
              ))}
            </dl>
          </section>
        ))}
      </div>
    </article>
  );
}

const took = (from: string, to: string) => duration((Date.parse(to) - Date.parse(from)) / 1000);

function Preview({ picture, run }: { picture: Picture; run: Run }) {
  const [broken, setBroken] = useState(false);
  return (
    <figure>
      {broken ? (
        <p class="refused" role="alert">
          The preview of picture {picture.id} cannot be loaded. If the service is live, its file was taken out of the
          data folder: restore it from a copy.
        </p>
      ) : (
        <img
          class="preview"
          src={previewUrl(picture.id)}
          alt={`Picture ${picture.id} of ${runName(run)}: black is none, white the most`}
          onError={() => setBroken(true)}
        />
      )}
      <figcaption>
        <span>none</span>
        <span class="scale" aria-hidden="true" />
        <span>most</span>
      </figcaption>
    </figure>
  );
}

function FactRow({ fact }: { fact: Fact }) {
  return (
    <div>
      <dt>{fact.label}</dt>
      {fact.kind === "text" ? (
        <dd>{fact.value}</dd>
      ) : (
        <dd>
          <code class={fact.kind} title={fact.value}>
            {fact.value}
          </code>
        </dd>
      )}
    </div>
  );
}

/** A line for the terminal. Where the browser forbids copying (a page not from this machine), it is selected. */
function Command({ text }: { text: string }) {
  const line = useRef<HTMLElement>(null);
  const [said, setSaid] = useState("Copy");

  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      if (line.current !== null) getSelection()?.selectAllChildren(line.current);
      setSaid("Selected: Ctrl+C");
    }
  }

  return (
    <div class="command">
      <code ref={line}>{text}</code>
      <button type="button" onClick={copy} onBlur={() => setSaid("Copy")}>
        {said}
      </button>
    </div>
  );
}

function Happenings({ list, open }: { list: Happening[]; open: boolean }) {
  if (list.length === 0) return null;
  return (
    <details class="happenings" open={open}>
      <summary>What happened ({list.length})</summary>
      <ol>
        {list.map((happening) => (
          <li key={happening.id}>
            <time dateTime={happening.time}>{when(happening.time, new Date())}</time> {happening.text}
          </li>
        ))}
      </ol>
    </details>
  );
}
