/** The page: one model, fed by the live connection, shown in panels. */

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { getPicture, getRun } from "./api";
import { DevicesView } from "./devices-view";
import { Header, LostNotice } from "./header";
import type { View } from "./header";
import { JobBar } from "./jobs";
import { follow } from "./live";
import { PictureView } from "./picture";
import { RunList } from "./runs";
import { SafetyPanel } from "./safety-panel";
import { SequenceView } from "./sequence-view";
import { announcement, initial, reduce, shown } from "./state";
import type { Model, News } from "./state";
import { wording } from "./safety";

/** The model, and the way to change it. */
function useModel(): [Model, (news: News) => void] {
  const [model, tell] = useReducer(reduce, undefined, () => initial(new Date()));
  const latest = useRef(model);
  latest.current = model;
  useEffect(() => {
    const live = follow(tell, () => latest.current);
    return () => live.close();
  }, []);
  return [model, tell];
}

/** What changed, for a screen reader. */
function useAnnouncement(model: Model): string {
  const before = useRef(model);
  const [text, setText] = useState("");
  useEffect(() => {
    const said = announcement(before.current, model);
    before.current = model;
    if (said !== "") setText(said);
  }, [model]);
  return text;
}

/** Fetches what the shown run needs and the page does not have yet. */
function useDetails(model: Model, tell: (news: News) => void): string {
  const run = shown(model);
  const live = model.link.state === "live";
  const [failure, setFailure] = useState("");
  const missing = run?.picture_ids.filter((id) => model.pictures[id] === undefined).join() ?? "";
  useEffect(() => {
    if (run === null || !live) return;
    setFailure("");
    const report = (error: unknown) => setFailure(error instanceof Error ? error.message : String(error));
    const asked = model.count;
    getRun(run.id).then((detail) => tell({ type: "detail", run: detail, asked }), report);
    for (const id of missing === "" ? [] : missing.split(",")) {
      getPicture(Number(id)).then((picture) => tell({ type: "picture", picture }), report);
    }
  }, [run?.id, run?.state, missing, live]);
  return failure;
}

export function App() {
  const [model, tell] = useModel();
  const said = useAnnouncement(model);
  const failure = useDetails(model, tell);
  const [view, setView] = useState<View>("picture");
  // Whoever picks a run wants to see it.
  const pick = (news: News) => {
    setView("picture");
    tell(news);
  };
  const live = model.link.state === "live";
  const { word } = wording(model.safety, live);
  const name = model.status?.instrument.name ?? "";

  useEffect(() => {
    document.title = [word, name, "nixel"].filter((part) => part !== "").join(" · ");
  }, [word, name]);

  return (
    <div class={live ? "page" : "page not-live"}>
      <SafetyPanel model={model} tell={tell} />
      <Header model={model} view={view} show={setView} />
      <main>
        <LostNotice link={model.link} />
        <JobBar model={model} tell={tell} />
        <RunList model={model} tell={pick} />
        {view === "devices" && <DevicesView live={live} />}
        {view === "sequence" && <SequenceView model={model} tell={tell} />}
        {view === "picture" && <PictureView model={model} failure={failure} />}
      </main>
      <div class="for-ears" role="status" aria-live="polite">
        {said}
      </div>
    </div>
  );
}
