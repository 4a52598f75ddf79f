/**
 * Keeps the page live: the event stream, a watch over its silence, and the stock-taking after each (re)connection.
 *
 * A browser notices a closed connection by itself, but not one that has merely fallen silent (a pulled cable): so
 * silence is answered with a question, and only an answer keeps the page "live".
 */

import { BASE, getRuns, getSafety, getStatus, PAGE_OF_RUNS } from "./api";
import type { Happening, Run, Safety } from "./api";
import type { Model, News } from "./state";

const SILENCE_MS = 4000;
const PROBE_MS = 3000;
const RETRY_MS = 1500;

export interface Live {
  close(): void;
}

/** Connect, and report everything that is heard until closed. */
export function follow(tell: (news: News) => void, model: () => Model): Live {
  let source: EventSource | null = null;
  let retry: number | undefined;
  let lastWord = 0;
  let probing = false;
  let closed = false;
  /** Which connection this is: answers to questions of an earlier one are dropped. */
  let connection = 0;
  let safetyWords = 0;

  const link = (state: "live" | "lost") => tell({ type: "link", state, at: new Date() });

  function lose() {
    connection++;
    link("lost");
    source?.close();
    source = null;
    clearTimeout(retry);
    if (!closed) retry = setTimeout(connect, RETRY_MS);
  }

  function heard() {
    lastWord = Date.now();
  }

  function on<Data>(topic: string, news: (data: Data) => News) {
    source?.addEventListener(topic, (event: MessageEvent<string>) => {
      heard();
      tell(news(JSON.parse(event.data) as Data));
    });
  }

  /** The stream tells what changes and what is under way; what ended while nobody listened must be asked for. */
  async function takeStock(mine: number) {
    const asked = model().count;
    const words = safetyWords;
    const [status, runs, safety] = await Promise.all([getStatus(), getRuns(), getSafety()]);
    if (mine !== connection) return;
    tell({ type: "status", status });
    tell({ type: "runs", runs, asked, full: runs.length === PAGE_OF_RUNS });
    if (words === safetyWords) tell({ type: "safety", safety });
    heard();
    link("live");
  }

  function connect() {
    const mine = ++connection;
    const stream = new EventSource(`${BASE}/events`);
    source = stream;
    heard();
    stream.onopen = () => {
      heard();
      takeStock(mine).catch(() => {
        if (mine === connection) lose();
      });
    };
    // The browser would try again by itself, but not after every kind of failure; one way for all is simpler.
    stream.onerror = () => {
      if (mine === connection) lose();
    };
    on<Run>("run", (run) => ({ type: "run", run }));
    on<Safety>("safety", (safety) => {
      safetyWords++;
      return { type: "safety", safety };
    });
    on<Happening>("event", (happening) => ({ type: "happening", happening }));
  }

  async function probe() {
    const mine = connection;
    const words = safetyWords;
    probing = true;
    try {
      const safety = await getSafety(PROBE_MS);
      if (mine !== connection) return;
      if (source?.readyState !== EventSource.OPEN) return lose();
      heard();
      if (words === safetyWords) tell({ type: "safety", safety });
    } catch {
      // Whatever went wrong with the answer, there is none.
      if (mine === connection) lose();
    } finally {
      probing = false;
    }
  }

  const watch = setInterval(() => {
    if (source !== null && !probing && Date.now() - lastWord > SILENCE_MS) void probe();
  }, 1000);
  connect();

  return {
    close() {
      closed = true;
      connection++;
      clearInterval(watch);
      clearTimeout(retry);
      source?.close();
    },
  };
}
