/** Which instrument this is, whether it is real, and whether the page is live. */

import { clock } from "./format";
import type { Link, Model } from "./state";

const LINK_WORDS: Record<Link["state"], string> = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Not live · reconnecting",
};

/** What stands in the view: a run's picture, or something in its place. */
export type View = "picture" | "sequence" | "devices";

interface Props {
  model: Model;
  view: View;
  show: (view: View) => void;
}

export function Header({ model, view, show }: Props) {
  const toggle = (other: View) => () => show(view === other ? "picture" : other);
  const { status, safety, link } = model;
  const simulated = status?.instrument.simulated === true || safety?.simulated === true;
  return (
    <header>
      <h1>
        <span class="brand">nixel</span>
        <span class="instrument" title={status?.instrument.description}>
          {status?.instrument.name ?? "…"}
        </span>
      </h1>
      {simulated && (
        <strong class="simulated" title="No physical instrument is measured">
          SIMULATED
        </strong>
      )}
      <button type="button" aria-pressed={view === "sequence"} onClick={toggle("sequence")}>
        Sequence
      </button>
      <button type="button" aria-pressed={view === "devices"} onClick={toggle("devices")}>
        Devices
      </button>
      <p class={`link ${link.state}`}>
        <span class="lamp" aria-hidden="true" />
        {LINK_WORDS[link.state]}
      </p>
    </header>
  );
}

/** Says, unmistakably, that what stands on the page is old. */
export function LostNotice({ link }: { link: Link }) {
  if (link.state !== "lost") return null;
  return (
    <p class="lost-notice" role="alert">
      <strong>Not live since {clock(link.since)}.</strong> The imaging service does not answer; everything dimmed is from
      before. STOP is still sent when you press it, but may not arrive: the emergency stop at the instrument always
      works.
    </p>
  );
}
