/** The safety daemon's state, and the button that switches everything off. */

import { useEffect, useState } from "preact/hooks";
import { RequestFailed, stop } from "./api";
import type { Interlock, Safety } from "./api";
import { duration, when, words } from "./format";
import { Icon } from "./icons";
import { INTERLOCK_WORDS, bypassWords, interlockLevel, lasting, reading, stopFailure, stopOutcome, wording } from "./safety";
import type { Outcome } from "./safety";
import type { Model, News } from "./state";

interface Props {
  model: Model;
  tell: (news: News) => void;
}

export function SafetyPanel({ model, tell }: Props) {
  const { safety } = model;
  const live = model.link.state === "live";
  const { level, word, says } = wording(safety, live);
  return (
    <section class="safety" aria-label="Safety">
      <StopButton model={model} tell={tell} />
      <div class={`state ${level}`}>
        <Icon name={level} />
        <p class="word">{word}</p>
        <p class="says">{says}</p>
      </div>
      {safety !== null && (
        <div class="dims">
          <Bypasses safety={safety} />
          {safety.reachable ? <Reasons safety={safety} /> : <p>{safety.message}</p>}
          <Interlocks safety={safety} />
        </div>
      )}
    </section>
  );
}

/** Never disabled, in no state: a second press does no harm, a press that is ignored may. */
function StopButton({ model, tell }: Props) {
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [pending, setPending] = useState(0);
  const live = model.link.state === "live";

  useEffect(() => {
    setOutcome((was) => was && lasting(was, model.safety, live));
  }, [model.safety, live]);

  async function press() {
    setPending((n) => n + 1);
    setOutcome(null);
    try {
      const safety = await stop("STOP was pressed on the page");
      tell({ type: "safety", safety });
      setOutcome(stopOutcome(safety));
    } catch (error) {
      const why = error instanceof RequestFailed ? error.message : `The page met an error: ${String(error)}`;
      setOutcome(stopFailure(why));
    } finally {
      setPending((n) => n - 1);
    }
  }

  return (
    <div class="stop-area">
      <button type="button" class="stop" onClick={press}>
        <span class="stop-word">STOP</span>
        <span class="stop-says">switch everything off</span>
      </button>
      <div role="alert">
        {pending > 0 && <p class="outcome">Stopping…</p>}
        {pending === 0 && outcome !== null && (
          <p class={`outcome ${outcome.kind}`}>{outcome.text}</p>
        )}
      </div>
    </div>
  );
}

/** Each interlock that somebody has bypassed: before everything else, for as long as it lasts. */
function Bypasses({ safety }: { safety: Safety }) {
  const bypasses = safety.bypasses ?? [];
  if (bypasses.length === 0) return null;
  const now = new Date();
  return (
    <ul class="bypasses" aria-label="Bypassed interlocks">
      {bypasses.map((bypass) => {
        const { title, until, by, why } = bypassWords(bypass, now);
        return (
          <li key={bypass.interlock}>
            <strong>{title}</strong>
            <span>{until}</span>
            <span>{by}</span>
            <span>{why}</span>
          </li>
        );
      })}
    </ul>
  );
}

/** Why it is as it is: what tripped first, who last switched off, or who holds it on. */
function Reasons({ safety }: { safety: Safety }) {
  const { first_cause: cause, off_reason: off, lease } = safety;
  if (cause) {
    const known = safety.what_to_do?.includes(cause.message);
    return (
      <p>
        <strong>First cause:</strong> {words(cause.name)}, {when(cause.time, new Date())}
        {!known && `: ${cause.message}`}
      </p>
    );
  }
  if (lease) return <p class="quiet">Held by {lease.holder}.</p>;
  return off ? <p class="quiet">Off because: {off}.</p> : null;
}

function Interlocks({ safety }: { safety: Safety }) {
  const interlocks = safety.interlocks ?? [];
  if (interlocks.length === 0) return null;
  return (
    <ul class="interlocks" aria-label="Interlocks">
      {interlocks.map((interlock) => (
        <InterlockRow key={interlock.name} interlock={interlock} said={safety.what_to_do ?? ""} />
      ))}
    </ul>
  );
}

function InterlockRow({ interlock, said }: { interlock: Interlock; said: string }) {
  const level = interlockLevel(interlock);
  const { message } = interlock;
  const age = interlock.age_s !== null && interlock.age_s > 1 ? `, ${duration(interlock.age_s)} old` : "";
  return (
    <li class={level}>
      <span class="name">{words(interlock.name)}</span>
      <span class="value">
        {reading(interlock)}
        {age}
      </span>
      <span class="limit">
        <Icon name={level} />
        {INTERLOCK_WORDS[level]}
      </span>
      {level !== "ok" && message && !said.includes(message) && <span class="message">{message}</span>}
    </li>
  );
}
