// What a meeting is and how far it is worked off, said as it is.

import { count, languageName, moment } from "./format.js";

const STATUSES = {
  created: "Not begun",
  live: "Live",
  paused: "Paused",
  ended: "Ended",
  timed_out: "Timed out",
  failed: "Failed",
};

/** What was counted, in words; those first that somebody should look at. */
const COUNTERS = {
  lost: "Entries lost when Redis went down",
  dead: "Entries that could not be used",
  late: "Changes that came too late to count",
  "refused:invalid": "Events refused: not as they must be",
  "refused:lag": "Events refused for the moment: too far behind",
  "refused:ended": "Events refused: the meeting was over",
  "refused:failed": "Events refused: the meeting had failed",
  "refused:paused": "Events refused: the meeting was paused",
  "refused:no_time": "Events refused: without their time",
  pending: "Captions that were late",
  untranslated: "Captions that could not be made",
  warned: "Captions that may not have kept a number, a name, a term or an emoji",
  superseded: "Translations that a newer wording overtook",
  repeated: "Events sent again, taken once",
  same: "Captions in the language that was spoken",
  translated: "Captions translated",
  cached: "Translations remembered from before",
  timed_out: "Times nobody had spoken for 30 minutes",
};

/** Whether a meeting is over; one that timed out may go on. */
export function isOver({ status }) {
  return status === "ended" || status === "timed_out" || status === "failed";
}

/** What a meeting is, in a line. */
export function facts(meeting) {
  const parts = [STATUSES[meeting.status]];
  if (meeting.began_at) parts.push(`began ${moment(meeting.began_at)}`);
  if (isOver(meeting)) parts.push(`over since ${moment(meeting.ended_at)}: ${meeting.end_reason}`);
  return [...parts, languages(meeting.config)].join(" · ");
}

/** Seconds from which on a live meeting is shown to be behind: two polls of the page. */
const BEHIND_S = 3;

/**
 * How far a meeting is worked off. Entries of the last few seconds are in work; it is behind once some are older.
 *
 * @param meeting as it is now; without `pending_captions` or `lag` where that isn't known.
 * @param before the same some seconds ago, if it was asked then.
 */
export function standing(meeting, before) {
  const { last_committed: committed, last_accepted: accepted, pending_captions: pending, lag, clock, status } = meeting;
  const open = accepted - committed;
  const late = clock === "live" && (status === "live" || status === "paused") && lag >= BEHIND_S;
  const behind = late || (before !== undefined && before.last_accepted > committed);
  const how = status === "failed" ? "never worked off" : behind ? "behind" : "in work";
  const parts = [];
  if (open > 0) parts.push(`${count(open, "entry", "entries")} ${how}`);
  if (late) parts.push(`${Math.round(lag)} s behind`);
  if (pending) parts.push(`${count(pending, "caption")} pending`);
  return { text: parts.join(", ") || "up to date", behind };
}

/** What was counted of a meeting and isn't zero: pairs of meaning and number. */
export function counted({ counters }) {
  const names = new Set([...Object.keys(COUNTERS), ...Object.keys(counters)]);
  return [...names].filter((name) => counters[name]).map((name) => [COUNTERS[name] ?? name, counters[name]]);
}

function languages({ source_language: source, target_languages: targets }) {
  const spoken = source === "auto" ? "Any language" : languageName(source);
  return targets.length ? `${spoken} → ${targets.map(languageName).join(", ")}` : `${spoken}, not translated`;
}
