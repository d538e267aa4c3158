// The state of a connection in words.

import { isOver } from "./meeting_status.js";

/**
 * @param state the stream's.
 * @param meeting what the server last said of the meeting, if anything.
 * @returns a `word` for the state, and a `detail` that may change by the second; none while it is live.
 */
export function connection(state, meeting) {
  switch (state.kind) {
    case "live":
      if (meeting && isOver(meeting)) return { word: "Over" };
      return { word: meeting?.status === "paused" ? "Paused" : "Live" };
    case "lost": {
      const since = `${Math.round((performance.now() - state.since) / 1000)} s`;
      const wait = Math.max(1, Math.ceil((state.next - performance.now()) / 1000));
      const next = state.next === null ? "trying now" : `next try in ${wait} s`;
      if (state.sign === "silence") return { word: "No sign of life", detail: `for ${since}, ${next}` };
      return { word: state.sign === "offline" ? "Offline" : "Reconnecting", detail: `lost ${since} ago, ${next}` };
    }
    case "closed":
      return { word: "Closed", detail: "asking whether it is over" };
    case "over":
      return { word: "Over", detail: "all received" };
    default:
      return { word: "Connecting" };
  }
}
