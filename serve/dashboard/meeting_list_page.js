// The first page: the meetings that run, and those that are over, asked for again every few seconds.

import { get } from "./api.js";
import { facts, standing } from "./meeting_status.js";

const AGAIN_MS = 5_000;
const NOW = "/api/meetings?status=created&status=live&status=paused&limit=50";
const RECENT = "/api/meetings?status=ended&status=timed_out&status=failed&limit=10";

const BEGIN = `curl -X POST ${location.host}/api/meetings -H 'content-type: application/json' \\
  -d '{"title": "Monday", "config": {"source_language": "en", "target_languages": ["pt"]}}'
curl -X POST ${location.host}/api/meetings/ID/events -H 'content-type: application/json' \\
  -d '{"events": [{"payload": {"chunk_id": "1", "speaker": "Ann",
       "text": "Good morning.", "start": 0.5, "end": 1.4}}]}'`;

const part = (selector) => document.querySelector(selector);

/** Show the meetings for as long as the page is open. */
export async function showMeetings() {
  part(".begin").textContent = BEGIN;
  const now = new Cards(part(".now"));
  const recent = new Cards(part(".recent"));
  for (;;) {
    if (!document.hidden) await refresh(now, recent);
    await pause();
  }
}

/** Wait for some seconds, or until the browser's network goes or comes. */
async function pause() {
  const over = new AbortController();
  await new Promise((done) => {
    setTimeout(done, AGAIN_MS);
    for (const change of ["offline", "online"]) addEventListener(change, done, { signal: over.signal });
  });
  over.abort();
}

async function refresh(now, recent) {
  const trouble = part(".trouble");
  try {
    const [open, over] = await Promise.all([get(NOW), get(RECENT)]);
    now.show(open);
    recent.show(over);
    part(".empty").hidden = open.meetings.length + over.meetings.length > 0;
    trouble.hidden = true;
  } catch (error) {
    const what = error.status ? `answers ${error.status}` : "can't be reached";
    trouble.textContent = `The server ${what}. What is shown may be old; trying again every few seconds.`;
    trouble.hidden = false;
  }
}

/** A list of meetings, changed in place: whoever is about to choose one keeps it under their finger. */
class Cards {
  #section;
  #list;
  #cards = new Map();
  #before = new Map();

  constructor(section) {
    this.#section = section;
    this.#list = section.querySelector("ul");
  }

  /** @param page the API's: its `before` says that there are more. */
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
      const card = this.#cards.get(meeting.id) ?? make(meeting);
      this.#cards.set(meeting.id, card);
      fill(card, meeting, this.#before.get(meeting.id));
      if (this.#list.children[index] !== card) this.#list.insertBefore(card, this.#list.children[index] ?? null);
    });
    this.#before = new Map(meetings.map((meeting) => [meeting.id, meeting]));
  }
}

function make({ id }) {
  // Imported, not cloned: Chromium doesn't follow the direction of what is cloned from another document (dir=auto).
  const card = document.importNode(part("#card").content.firstElementChild, true);
  card.querySelector("a").href = `/meetings/${id}`;
  return card;
}

function fill(card, meeting, before) {
  const { text, behind } = standing(meeting, before);
  card.dataset.status = meeting.status;
  card.querySelector("a").textContent = meeting.title || "Untitled meeting";
  card.querySelector(".facts").textContent = facts(meeting);
  card.querySelector(".standing").textContent = text;
  card.querySelector(".standing").classList.toggle("behind", behind);
}
