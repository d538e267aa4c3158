// The connection's state as text.

import { isOver } from "./meeting_status.js";

/**
 * Describe the state of a meeting's event stream.
 *
 * @param state the `EventStream`'s state.
 * @param meeting the server's last answer about the meeting; undefined if there was none.
 * @returns `label`, and `detail`, which may change every second; a live connection has no detail.
 */
export function describeConnection(state, meeting) {
  switch (state.kind) {
    case "live":
      if (meeting && isOver(meeting)) return { label: "Over" };
      return { label: meeting?.status === "paused" ? "Paused" : "Live" };
    case "lost": {
      const since = `${Math.round((performance.now() - state.since) / 1000)} s`;
      const wait = Math.max(1, Math.ceil((state.retryAt - performance.now()) / 1000));
      const retry = state.retryAt === null ? "trying now" : `next try in ${wait} s`;
      if (state.cause === "silence") return { label: "No response", detail: `for ${since}, ${retry}` };
      return { label: state.cause === "offline" ? "Offline" : "Reconnecting", detail: `lost ${since} ago, ${retry}` };
    }
    case "closed":
      return { label: "Closed", detail: "checking whether the meeting is over" };
    case "over":
      return { label: "Over", detail: "all received" };
    default:
      return { label: "Connecting" };
  }
}
