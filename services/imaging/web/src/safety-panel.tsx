/** The safety daemon's state, and the button that switches everything off. */

import { useState } from "preact/hooks";
import { RequestFailed, stop } from "./api";
import type { Interlock, Safety } from "./api";
import { duration, words } from "./format";
import { Icon } from "./icons";
import { INTERLOCK_WORDS, interlockLevel, reading, stopFailure, stopOutcome, wording } from "./safety";
import type { Outcome } from "./safety";
import type { Model } from "./state";

export function SafetyPanel({ model }: { model: Model }) {
  const { safety } = model;
  const live = model.link.state === "live";
  const { level, word, says } = wording(safety, live);
  return (
    <section class="safety" aria-label="Safety">
      <StopButton />
      <div class={`state ${level}`}>
        <Icon name={level} />
        <p class="word">{word}</p>
        <p class="says">{says}</p>
      </div>
      {safety !== null && (
        <div class="dims">
          {safety.reachable ? <Advice safety={safety} /> : <p class="advice">{safety.message}</p>}
          <Interlocks interlocks={safety.interlocks ?? []} />
        </div>
      )}
    </section>
  );
}

/** Never disabled, in no state: a second press does no harm, a press that is ignored may. */
function StopButton() {
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [pending, setPending] = useState(0);

  async function press() {
    setPending((n) => n + 1);
    setOutcome(null);
    try {
      setOutcome(stopOutcome(await stop("STOP was pressed on the page")));
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
          <p class={outcome.good ? "outcome good" : "outcome bad"}>{outcome.text}</p>
        )}
      </div>
    </div>
  );
}

function Advice({ safety }: { safety: Safety }) {
  const { first_cause: cause, what_to_do: advice, lease } = safety;
  return (
    <div class="advice">
      {cause && (
        <p class="cause">
          <strong>First cause:</strong> {cause}
        </p>
      )}
      {advice && <p>{advice}</p>}
      {lease && <p class="quiet">Held by {lease.holder}.</p>}
    </div>
  );
}

function Interlocks({ interlocks }: { interlocks: Interlock[] }) {
  if (interlocks.length === 0) return null;
  return (
    <ul class="interlocks" aria-label="Interlocks">
      {interlocks.map((interlock) => (
        <InterlockRow key={interlock.name} interlock={interlock} />
      ))}
    </ul>
  );
}

function InterlockRow({ interlock }: { interlock: Interlock }) {
  const level = interlockLevel(interlock);
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
      {level !== "ok" && interlock.message && <span class="message">{interlock.message}</span>}
    </li>
  );
}
