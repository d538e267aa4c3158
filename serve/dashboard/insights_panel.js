// The panel of a meeting's insights: generates them by templates, and shows the latest of each template and language.

import { getJson, sendJson } from "./api.js";
import { formatCount, formatTimestamp, languageName } from "./format.js";

const API = "/api/intelligence";
const POLL_MS = 2_000;
const AUTO_NOTE = "auto_note"; // The template of running notes.

const template = document.getElementById("insight");

export class InsightsPanel {
  #panel;
  #path;
  #showSentence;
  #insights = [];
  #templates = [];
  #isPolling = false;
  #readLanguage;
  #shown = ""; // What the list shows, to leave it alone if nothing changed.

  /**
   * @param panel the element of the panel.
   * @param meetingId the meeting's id.
   * @param showSentence is called with the id of the sentence that the reader wants to see.
   * @param readLanguage returns the reader's language, a tag.
   */
  constructor(panel, meetingId, showSentence, readLanguage) {
    this.#panel = panel;
    this.#path = `${API}/sessions/${meetingId}/insights`;
    this.#showSentence = showSentence;
    this.#readLanguage = readLanguage;
    panel.addEventListener("toggle", () => panel.open && this.#load());
    this.#part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#generate();
    });
  }

  async #load() {
    await this.#attempt("The insights can't be loaded", async () => {
      const [{ templates }, { insights }] = await Promise.all([getJson(`${API}/templates`), getJson(this.#path)]);
      this.#templates = templates.filter(({ name, is_active: isActive }) => isActive && name !== AUTO_NOTE);
      this.#insights = insights;
      this.#showTemplates();
      this.#show();
    });
    this.#poll();
  }

  async #generate() {
    const form = this.#part("form");
    const { template: choice, instructions } = form.elements;
    const button = form.querySelector("button");
    const body = {
      instructions: instructions.value.trim(),
      language: this.#readLanguage(),
      ...(choice.value && { templates: [choice.value] }),
    };
    button.disabled = true;
    await this.#attempt("Nothing was generated", async () => {
      await sendJson("POST", `${this.#path}/generate`, body);
      this.#insights = (await getJson(this.#path)).insights;
      this.#show();
    });
    button.disabled = false;
    this.#poll();
  }

  /** Fetch the insights again for as long as one is pending and the panel is open. */
  async #poll() {
    if (this.#isPolling) return;
    this.#isPolling = true;
    while (this.#panel.open && this.#insights.some(({ status }) => status === "pending")) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      await this.#attempt("The insights can't be loaded", async () => {
        this.#insights = (await getJson(this.#path)).insights;
        this.#show();
      });
    }
    this.#isPolling = false;
  }

  async #attempt(failure, action) {
    const problem = this.#part(".problem");
    try {
      await action();
      problem.textContent = "";
    } catch (error) {
      problem.textContent = `${failure}: ${error.message}`;
    }
    problem.hidden = !problem.textContent;
  }

  #showTemplates() {
    const select = this.#part("select");
    const chosen = select.value;
    const options = this.#templates.map(({ name, description }) => Object.assign(new Option(titleOf(name), name), { title: description }));
    select.replaceChildren(...options, new Option("All of them", ""));
    select.value = this.#templates.some(({ name }) => name === chosen) ? chosen : (this.#templates[0]?.name ?? "");
  }

  #show() {
    const latest = new Map();
    // Newest first, so the first of each template and language is the latest.
    for (const insight of this.#insights) {
      const key = `${insight.template} ${insight.language}`;
      if (!latest.has(key)) latest.set(key, insight);
    }
    this.#part(".count").textContent = latest.size ? String(latest.size) : "";
    const pendingCount = this.#insights.filter(({ status }) => status === "pending").length;
    const progress = this.#part(".progress");
    progress.textContent = pendingCount ? `${formatCount(pendingCount, "insight")} to be generated` : "";
    progress.hidden = !pendingCount;
    const content = JSON.stringify([...latest.values()]);
    if (content === this.#shown) return;
    this.#shown = content;
    this.#part(".insight-list").replaceChildren(...[...latest.values()].map((insight) => this.#item(insight)));
  }

  #item(insight) {
    const element = document.importNode(template.content.firstElementChild, true);
    const part = (selector) => element.querySelector(selector);
    part("h3").textContent = titleOf(insight.template);
    part(".facts").textContent = factsOf(insight);
    element.dataset.status = insight.status;
    const content = part(".content");
    content.lang = insight.language;
    if (insight.rows) content.append(this.#rowList(insight.rows));
    else content.textContent = insight.text ?? insight.reason ?? "";
    part(".remark").textContent = remarkOf(insight);
    part(".remark").hidden = !part(".remark").textContent;
    return element;
  }

  #rowList(rows) {
    const list = document.createElement("ul");
    for (const { sentences, ...fields } of rows) {
      const item = document.createElement("li");
      const { task, decision, ...details } = fields;
      item.append([task ?? decision, ...Object.values(details)].filter(Boolean).join(" · "), " ");
      for (const [index, id] of sentences.entries()) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `[${index + 1}]`;
        button.ariaLabel = `Show sentence ${index + 1} of: ${task ?? decision}`;
        button.addEventListener("click", () => this.#showSentence(id));
        item.append(button);
      }
      list.append(item);
    }
    if (!rows.length) list.append("Nothing was found.");
    return list;
  }

  #part(selector) {
    return this.#panel.querySelector(selector);
  }
}

/** The title of a template: "action_items" becomes "Action items". */
function titleOf(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function factsOf({ status, language, number, finished_at: finishedAt, engine }) {
  if (status === "pending") return "to be generated…";
  const parts = [languageName(language), number > 1 && `no. ${number}`, finishedAt && formatTimestamp(finishedAt), engine];
  return parts.filter(Boolean).join(" · ");
}

function remarkOf({ status, finish, dropped_rows: droppedRows, dropped_sentences: droppedSentences }) {
  const parts = [
    status === "failed" && "It could not be generated",
    finish === "length" && "The answer was cut off",
    droppedRows > 0 && `${droppedRows} left out: they name no sentence`,
    droppedSentences > 0 && `${droppedSentences} named sentences don't exist`,
  ];
  return parts.filter(Boolean).join(" · ");
}
