/** The panels beside the text: speakers, doubtful places, and subtitles as they will be cut. */

import { clock, debounce } from "./time.js";

const EXCERPT_MS = 45_000; // of subtitles before and after the cursor
const MAX_LISTED = 500;

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function button(text, className, action) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

/** Speakers with how long each speaks: rename, merge, go to the next turn. */
export class SpeakersPanel {
  constructor(list, model, { canEdit, toTurn }) {
    Object.assign(this, { list, model, canEdit, toTurn });
    model.addEventListener("change", ({ detail }) => {
      if (detail.before.speakers !== model.speakers) this.draw();
      else this.countLater();
    });
    this.countLater = debounce(() => this.count(), 500);
    this.draw();
  }

  draw() {
    const rows = this.model.speakers.map((speaker, k) => {
      const row = element("li");
      row.dataset.colour = k % 8;
      row.dataset.id = speaker.id;
      const name = element("input");
      Object.assign(name, { value: speaker.name ?? "", placeholder: `Speaker ${k + 1}`, maxLength: 200, readOnly: !this.canEdit });
      name.setAttribute("aria-label", `Name of ${this.model.name(speaker.id)}`);
      name.addEventListener("change", () => this.model.rename(speaker.id, name.value));
      name.addEventListener("keydown", (event) => event.key === "Enter" && name.blur());
      row.append(element("span", "dot"), name, element("span", "share faint"));
      row.append(button("Next turn", "quiet", () => this.toTurn(speaker.id)));
      if (this.canEdit && this.model.speakers.length > 1) row.append(this.mergeChoice(speaker));
      return row;
    });
    this.list.replaceChildren(...rows);
    if (!rows.length) this.list.append(element("li", "faint", "Nobody is named. Click the name beside a turn."));
    this.count();
  }

  mergeChoice(speaker) {
    const choice = element("select", "quiet");
    choice.setAttribute("aria-label", `Same person as ${this.model.name(speaker.id)}`);
    choice.append(new Option("Same as …", ""));
    for (const other of this.model.speakers) if (other !== speaker) choice.append(new Option(this.model.name(other.id), other.id));
    choice.addEventListener("change", () => choice.value && this.model.merge(speaker.id, choice.value));
    return choice;
  }

  count() {
    const ms = new Map();
    for (const p of this.model.paragraphs) ms.set(p.speaker, (ms.get(p.speaker) ?? 0) + (p.words.length ? p.e - p.s : 0));
    for (const row of this.list.querySelectorAll("[data-id]")) row.querySelector(".share").textContent = clock(ms.get(row.dataset.id) ?? 0);
  }
}

/** Runs of doubtful words and passages that failed the recogniser's checks, in order. */
export class PlacesPanel {
  constructor({ list, count, slider, shown }, model, editor, player, goTo) {
    Object.assign(this, { list, countLine: count, model, editor, player, goTo });
    slider.addEventListener("input", () => {
      shown.textContent = `${slider.value} %`;
      editor.setThreshold(slider.value / 100);
      this.draw();
    });
    this.drawLater = debounce(() => this.draw(), 700);
    model.addEventListener("change", () => this.drawLater());
    this.draw();
  }

  find() {
    const places = [];
    for (const paragraph of this.model.paragraphs) {
      let run = null;
      paragraph.words.forEach((word, index) => {
        if (!word.n && word.c !== null && word.c < this.editor.threshold) {
          if (run) [run.e, run.text] = [word.e, `${run.text}${this.model.joiner}${word.t}`];
          else places.push((run = { s: word.s, e: word.e, id: paragraph.id, index, text: word.t }));
        } else run = null;
      });
    }
    for (const { start_ms: s, end_ms: e, reasons } of this.model.doc.suspect_passages)
      places.push({ s, e, reasons: reasons.map((reason) => reason.replaceAll("_", " ")).join(", ") });
    return places.sort((a, b) => a.s - b.s);
  }

  draw() {
    this.places = this.find();
    const rows = this.places.slice(0, MAX_LISTED).map((place) => {
      const row = element("li");
      const go = button("", "place", () => this.goTo(place));
      go.append(element("span", "faint", clock(place.s)), " ", element("span", place.reasons ? "reason" : "", place.reasons ?? place.text));
      row.append(go);
      return row;
    });
    this.list.replaceChildren(...rows);
    const more = this.places.length > MAX_LISTED ? `; the first ${MAX_LISTED} are listed` : "";
    this.countLine.textContent = `${this.places.length} places${more}`;
    this.player.setMarks(this.places);
  }

  /** The next place after a time, or the last before it. */
  next(ms, step) {
    return step > 0 ? this.places.find((place) => place.s > ms) : this.places.findLast((place) => place.s < ms);
  }
}

/** Subtitles around a time, cut by the server as those that are published. */
export class SubtitlesPanel {
  constructor(list, panel, model, { time, goTo }) {
    Object.assign(this, { list, panel, model, time, goTo });
    this.later = debounce(() => this.load(), 600);
    model.addEventListener("change", () => this.later());
  }

  async load() {
    if (this.panel.hidden) return;
    const at = this.time(), { language, cue_profile: profile } = this.model.doc;
    const near = this.model.paragraphs.filter((p) => p.words.length && p.e > at - EXCERPT_MS && p.s < at + EXCERPT_MS);
    const draft = this.model.draft();
    draft.segments = near.map((p) => ({
      speaker: p.speaker, start_ms: p.s, end_ms: Math.max(p.s, p.e),
      words: p.words.filter((word) => word.e > at - EXCERPT_MS && word.s < at + EXCERPT_MS).map((word) => [word.t, word.s, word.e]),
    })).filter((segment) => segment.words.length);
    const answer = await fetch(`cues?${new URLSearchParams({ language, profile })}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(draft),
    });
    if (answer.ok) this.draw(await answer.json());
  }

  draw(cues) {
    this.list.replaceChildren(...cues.map((cue) => {
      const row = element("li");
      const box = button("", "cue", () => this.goTo({ s: cue.start_ms }));
      for (const line of cue.lines) {
        const shown = element("span", "line", line.text);
        const number = this.model.speakers.findIndex((speaker) => speaker.id === line.speaker);
        shown.dataset.colour = number < 0 ? "none" : number % 8;
        box.append(shown);
      }
      row.append(element("span", "faint", `${clock(cue.start_ms)} · ${((cue.end_ms - cue.start_ms) / 1000).toFixed(1)} s`), box);
      for (const limit of cue.exceeds) row.append(element("span", "limit", LIMITS[limit] ?? limit));
      return row;
    }));
  }
}

const LIMITS = {
  line_width: "a word is wider than a line",
  reading_speed: "too fast to read",
  shortest: "too short",
  longest: "too long",
  sync: "later than its first word",
};
