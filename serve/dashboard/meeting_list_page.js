// The start page: open meetings and recent ones, refreshed every few seconds.

import { getJson } from "./api.js";
import { connectorMark } from "./connector_status.js";
import { MeetingSearch } from "./meeting_search.js";
import { meetingProgress, meetingSummary } from "./meeting_status.js";

const POLL_MS = 5_000;
const OPEN_URL = "/api/meetings?status=created&status=live&status=paused&limit=50";
const RECENT_URL = "/api/meetings?status=ended&status=timed_out&status=failed&limit=10";

const EXAMPLE_COMMANDS = `curl -X POST ${location.host}/api/meetings -H 'content-type: application/json' \\
  -d '{"title": "Monday", "config": {"source_language": "en", "target_languages": ["pt"]}}'
curl -X POST ${location.host}/api/meetings/ID/events -H 'content-type: application/json' \\
  -d '{"events": [{"payload": {"chunk_id": "1", "speaker": "Ann",
       "text": "Good morning.", "start": 0.5, "end": 1.4}}]}'`;

const query = (selector) => document.querySelector(selector);

/** Show the meetings for as long as the page is open. */
export async function showMeetings() {
  query(".example-commands").textContent = EXAMPLE_COMMANDS;
  const openCards = new MeetingCards(query(".now"));
  const recentCards = new MeetingCards(query(".recent"));
  new MeetingSearch(query(".search"), query(".found"), (isSearching) => query(".list").classList.toggle("searching", isSearching));
  for (;;) {
    if (!document.hidden) await refresh(openCards, recentCards);
    await pause();
  }
}

/** Wait for the poll interval, or until the browser goes offline or online. */
async function pause() {
  const cleanup = new AbortController();
  await new Promise((done) => {
    setTimeout(done, POLL_MS);
    for (const change of ["offline", "online"]) addEventListener(change, done, { signal: cleanup.signal });
  });
  cleanup.abort();
}

async function refresh(openCards, recentCards) {
  const errorNotice = query(".error-notice");
  try {
    const [open, recent] = await Promise.all([getJson(OPEN_URL), getJson(RECENT_URL)]);
    openCards.show(open);
    recentCards.show(recent);
    query(".empty").hidden = open.meetings.length + recent.meetings.length > 0;
    errorNotice.hidden = true;
  } catch (error) {
    const problem = error.status ? `answers ${error.status}` : "can't be reached";
    errorNotice.textContent = `The server ${problem}. This list may be outdated; retrying every few seconds.`;
    errorNotice.hidden = false;
  }
}

/** A list of meetings. Cards are changed in place, so that a card doesn't move while the reader is about to click it. */
class MeetingCards {
  #section;
  #list;
  #cards = new Map();
  #previousMeetings = new Map();

  constructor(section) {
    this.#section = section;
    this.#list = section.querySelector("ul");
  }

  /** Show a page of the API's list of meetings. If its `before` isn't null, there are more meetings. */
  show({ meetings, before }) {
    this.#section.hidden = meetings.length === 0;
    this.#section.querySelector(".more").hidden = before === null;
    const ids = new Set(meetings.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (ids.has(id)) continue;
      card.remove();
      this.#cards.delete(id);
    }
    meetings.forEach((meeting, index) => {
      const card = this.#cards.get(meeting.id) ?? createCard(meeting);
      this.#cards.set(meeting.id, card);
      updateCard(card, meeting, this.#previousMeetings.get(meeting.id));
      if (this.#list.children[index] !== card) this.#list.insertBefore(card, this.#list.children[index] ?? null);
    });
    this.#previousMeetings = new Map(meetings.map((meeting) => [meeting.id, meeting]));
  }
}

function createCard({ id }) {
  // Imported, not cloned: with dir=auto, Chromium doesn't compute the direction of nodes cloned from another document.
  const card = document.importNode(query("#card").content.firstElementChild, true);
  card.querySelector("a").href = `/meetings/${id}`;
  return card;
}

function updateCard(card, meeting, previous) {
  const { text, isBehind } = meetingProgress(meeting, previous);
  card.dataset.status = meeting.status;
  card.querySelector("a").textContent = meeting.title || "Untitled meeting";
  card.querySelector(".facts").textContent = meetingSummary(meeting);
  card.querySelector(".status-text").textContent = text;
  card.querySelector(".status-text").classList.toggle("behind", isBehind);
  const mark = connectorMark(meeting);
  card.querySelector(".connector-mark").hidden = mark === null;
  card.querySelector(".connector-mark").dataset.state = mark?.state ?? "";
  card.querySelector(".connector-mark").textContent = mark?.label ?? "";
}
