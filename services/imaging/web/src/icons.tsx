/** Shapes that repeat the words, so that nothing rests on colour. */

import type { InterlockLevel, Level } from "./safety";

const PATHS: Record<Level | InterlockLevel, string> = {
  safe: "M4 12.5 9.5 18 20 6.5",
  armed: "M12 3.5 21.5 20h-19zM12 9.5v5M12 17v.5",
  energised: "M13.5 2.5 5 13.5h6l-1 8 8.5-11h-6z",
  fault: "M5.5 5.5l13 13M18.5 5.5l-13 13",
  unknown: "M8 8.5a4 4 0 1 1 5.6 3.7c-1.1.5-1.6 1.3-1.6 2.8M12 18.7v.6",
  ok: "M4 12.5 9.5 18 20 6.5",
  warning: "M12 3.5 21.5 20h-19zM12 9.5v5M12 17v.5",
  bypassed: "M4 12h16M12 3.5 21.5 20h-19z",
  tripped: "M5.5 5.5l13 13M18.5 5.5l-13 13",
};

export function Icon({ name }: { name: Level | InterlockLevel }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
