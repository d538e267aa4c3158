// The summary, progress and counters of a meeting as text.

import { formatCount, formatTimestamp, languageName } from "./format.js";

const STATUS_LABELS = {
  created: "Not started",
  live: "Live",
  paused: "Paused",
  ended: "Ended",
  timed_out: "Timed out",
  failed: "Failed",
};

/** Labels of the counters, the most serious ones first. */
const COUNTER_LABELS = {
  lost: "Entries lost when Redis went down",
  dead: "Entries that failed and became dead letters",
  late: "Revisions that arrived too late and were ignored",
  outdated: "Interim texts that arrived too late and were ignored",
  conflicting: "Corrections of sentences that had changed meanwhile",
  "refused:invalid": "Events refused: invalid",
  "refused:lag": "Events refused temporarily: processing was too far behind",
  "refused:ended": "Events refused: the meeting was over",
  "refused:failed": "Events refused: the meeting had failed",
  "refused:paused": "Events refused: the meeting was paused",
  "refused:no_time": "Events refused: no timestamp",
  pending: "Captions that were late",
  untranslated: "Captions that could not be translated",
  warned: "Captions that may not have kept a number, a name, a term or an emoji",
  superseded: "Translations superseded by a newer revision",
  repeated: "Repeated events, accepted once",
  same: "Captions in the source language",
  translated: "Captions translated",
  cached: "Translations from the cache",
  timed_out: "Timeouts after 30 minutes without speech",
};

/** Whether a meeting is over. A meeting that timed out may be resumed. */
export function isOver({ status }) {
  return status === "ended" || status === "timed_out" || status === "failed";
}

/** Summarize a meeting in one line: status, times and languages. */
export function meetingSummary(meeting) {
  const parts = [STATUS_LABELS[meeting.status]];
  if (meeting.began_at) parts.push(`started ${formatTimestamp(meeting.began_at)}`);
  if (isOver(meeting)) parts.push(`over since ${formatTimestamp(meeting.ended_at)}: ${meeting.end_reason}`);
  return [...parts, languages(meeting.config)].join(" · ");
}

/** Seconds of lag from which a live meeting is shown as behind. Shorter lags are normal. */
const LAG_SHOWN_S = 3;

/**
 * Describe how far a meeting is processed. It is behind if it lags, or if entries are still unprocessed after a poll interval.
 *
 * @param meeting the meeting now; without `pending_captions` or `lag` if they are unknown.
 * @param previous the meeting at the poll before, if there was one.
 * @returns `text`, and `isBehind`.
 */
export function meetingProgress(meeting, previous) {
  const { last_committed: committed, last_accepted: accepted, pending_captions: pendingCaptions, lag, clock, status } = meeting;
  const pendingEntries = accepted - committed;
  const isLagging = clock === "live" && (status === "live" || status === "paused") && lag >= LAG_SHOWN_S;
  const isBehind = isLagging || (previous !== undefined && previous.last_accepted > committed);
  const label = status === "failed" ? "not processed" : isBehind ? "behind" : "being processed";
  const parts = [];
  if (pendingEntries > 0) parts.push(`${formatCount(pendingEntries, "entry", "entries")} ${label}`);
  if (isLagging) parts.push(`${Math.round(lag)} s behind`);
  if (pendingCaptions) parts.push(`${formatCount(pendingCaptions, "caption")} pending`);
  return { text: parts.join(", ") || "up to date", isBehind };
}

/** The counters of a meeting that aren't zero, as pairs of label and number. */
export function nonZeroCounters({ counters }) {
  const names = new Set([...Object.keys(COUNTER_LABELS), ...Object.keys(counters)]);
  return [...names].filter((name) => counters[name]).map((name) => [COUNTER_LABELS[name] ?? name, counters[name]]);
}

function languages({ source_language: source, target_languages: targets }) {
  const sourceName = source === "auto" ? "Any language" : languageName(source);
  return targets.length ? `${sourceName} → ${targets.map(languageName).join(", ")}` : `${sourceName}, not translated`;
}
