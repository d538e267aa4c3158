// The state of a meeting's connector as text. A connector is Parley's connection to the meeting at its source.

import { formatCount, formatDuration, formatOffset, formatTimestamp } from "./format.js";
import { isOver } from "./meeting_status.js";

const SOURCE_NAMES = { fireflies: "Fireflies" };

/** Maximum number of gaps that are listed. */
const MAX_LISTED_GAPS = 3;

/** Whether a connector's session still runs. */
export function isConnectorOpen({ status }) {
  return status !== "failed" && status !== "ended";
}

/**
 * Describe a meeting's connector.
 *
 * @param meeting the server's answer about a meeting with a connector.
 * @returns `state` (the value of `data-state`); `label`, which names the source and the state; `facts`, `gaps` and `problem`,
 *     which may change with each answer, and are empty without content.
 */
export function describeConnector(meeting) {
  const { connector } = meeting;
  const { filled } = connector;
  const facts = [since(meeting), filled > 0 && `${formatCount(filled, "text")} filled in`, budget(connector)];
  return {
    ...stateAndLabel(meeting),
    facts: facts.filter(Boolean).join(" · "),
    gaps: gaps(connector),
    problem: [connector.last_error, remedy(meeting)].filter(Boolean).join("; "),
  };
}

/** The mark of a listed meeting whose source isn't connected: `state` and `label`; null for any other meeting. */
export function connectorMark(meeting) {
  if (!meeting.connector) return null;
  const mark = stateAndLabel(meeting);
  if (mark.state === "failed") return mark;
  return isOver(meeting) || mark.state === "connected" || mark.state === "ended" ? null : mark;
}

function stateAndLabel(meeting) {
  const state = stateOf(meeting);
  const { source } = meeting.connector;
  return { state, label: `${SOURCE_NAMES[source] ?? source}: ${state}` };
}

function stateOf({ status: meetingStatus, connector: { status, is_disconnecting: isDisconnecting } }) {
  if (isDisconnecting) return "disconnecting";
  return status === "connected" && meetingStatus === "paused" ? "paused" : status;
}

function since(meeting) {
  const { connector } = meeting;
  switch (stateOf(meeting)) {
    case "connected":
      return `since ${formatTimestamp(connector.connected_at)}`;
    case "paused":
      return "speech is discarded now";
    case "disconnecting":
      return "filling in what is missing";
    case "reconnecting":
      return connector.last_message_at && `last heard at ${formatTimestamp(connector.last_message_at)}`;
    case "connecting":
      return `since ${formatTimestamp(connector.created_at)}`;
    default:
      return connector.ended_at && `at ${formatTimestamp(connector.ended_at)}`;
  }
}

function budget({ budget }) {
  if (!budget) return "";
  const { limit, remaining, resets_in_s: waitS } = budget;
  const left = `${remaining.toLocaleString("en")} of ${formatCount(limit, "request")} left`;
  return remaining > 0 ? left : `${left}, more in ${formatDuration(waitS)}`;
}

function gaps(connector) {
  // Before the first connection nothing was received, so all of it would be a gap.
  if (!connector.gaps.length || !connector.connected_at) return "";
  const listed = connector.gaps.slice(-MAX_LISTED_GAPS).map(formatGap).join(", ");
  const count = connector.gaps.length > MAX_LISTED_GAPS ? ` in ${connector.gaps.length} gaps, the last ones` : "";
  const end = isConnectorOpen(connector) ? " (to be filled in from the transcript)" : "";
  return `Speech may be missing${count}: ${listed}${end}`;
}

function formatGap({ start, end }) {
  if (end === null) return `from ${formatOffset(start)}`;
  const [first, last] = [formatOffset(start), formatOffset(end)];
  return first === last ? `around ${first}` : `${first}–${last}`;
}

function remedy(meeting) {
  const { connector } = meeting;
  switch (stateOf(meeting)) {
    case "connecting":
    case "reconnecting":
      return connector.last_error && "Parley keeps trying";
    case "failed":
      if (isOver(meeting)) return "";
      return `connect again by: parley ${connector.source} connect ${connector.external_id}`;
    default:
      return "";
  }
}
