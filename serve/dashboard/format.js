// Formatting of numbers, times and languages for display.

const displayNames = new Intl.DisplayNames("en", { type: "language" });
const dateTimeFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const timeFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** The English name of a language tag; the tag itself if it is invalid. */
export function languageName(tag) {
  try {
    return displayNames.of(tag);
  } catch {
    return tag;
  }
}

/** Format a number with its noun: "1 caption", "2 captions". */
export function formatCount(number, singular, plural = `${singular}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? singular : plural}`;
}

/** Format seconds since a meeting's start as "m:ss" or "h:mm:ss". */
export function formatOffset(totalSeconds) {
  const [hours, minutes, seconds] = [totalSeconds / 3600, (totalSeconds / 60) % 60, totalSeconds % 60].map(Math.floor);
  const padTwo = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${padTwo(minutes)}:${padTwo(seconds)}` : `${minutes}:${padTwo(seconds)}`;
}

/** Format a duration in seconds in its largest unit: "41 s", "12 min", "5 h". */
export function formatDuration(seconds) {
  if (seconds < 120) return `${Math.ceil(seconds)} s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}

/** Format an ISO timestamp; only the time if it is today. */
export function formatTimestamp(iso) {
  const date = new Date(iso);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? timeFormat.format(date) : dateTimeFormat.format(date);
}
