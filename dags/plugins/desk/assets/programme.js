/** The page of a programme: reads the document, and connects text, sound, panels, keys and saving. */

import { Drafts, restored } from "./drafts.js";
import { Editor } from "./editor.js";
import { describeKeys, listen } from "./keys.js";
import { Model } from "./model.js";
import { button, element, PlacesPanel, SpeakersPanel, SubtitlesPanel } from "./panels.js";
import { Highlight, lastBefore, Player, SPEEDS } from "./player.js";
import { fetchDocument, Saving } from "./saving.js";
import { clock } from "./time.js";

const $ = (id) => document.getElementById(id);
const { key, canEdit: canEditText, hasSound } = $("page").dataset;
const canEdit = canEditText === "true";

const isNarrow = () => matchMedia("(max-width: 62rem)").matches;

function say(text, kind = "") {
  $("state").textContent = text;
  $("state").className = kind;
}

async function start() {
  const doc = await fetchDocument();
  const model = new Model(doc);
  const editor = new Editor($("text"), model, { canEdit });
  const player = new Player({ audio: $("audio"), overview: $("overview"), zoom: $("zoom"), position: $("position"), play: $("play") }, doc.duration_ms);
  new Highlight(editor, player);
  const page = new Page(model, editor, player);
  page.connect();
  if (hasSound === "true") await player.loadPeaks("waveform");
  page.markPauses();
  if (canEdit) await page.restore();
  document.documentElement.dataset.ready = "true";
}

class Page {
  constructor(model, editor, player) {
    Object.assign(this, { model, editor, player });
    this.drafts = new Drafts(key, model);
    this.saving = new Saving(model, this.drafts, say, $("merge-dialog"));
    const goTo = (place) => this.goTo(place);
    this.places = new PlacesPanel({ list: $("places"), count: $("places-count"), slider: $("threshold"), shown: $("threshold-shown") }, model, editor, player, goTo);
    this.subtitles = new SubtitlesPanel($("cues"), $("panel-subtitles"), model, { time: () => this.here(), goTo });
    new SpeakersPanel($("speakers"), model, { canEdit, toTurn: (id) => this.toTurn((p) => p.speaker === id, 1) });
  }

  connect() {
    const { model, player } = this;
    document.documentElement.lang = "en";
    $("text").lang = model.doc.language;
    $("duration").textContent = clock(model.doc.duration_ms);
    for (const speed of SPEEDS) $("speed").append(new Option(`${speed}×`, speed, speed === 1, speed === 1));
    $("speed").addEventListener("change", () => { player.speed = Number($("speed").value); });
    player.addEventListener("speed", () => { $("speed").value = player.speed; });
    player.audio.addEventListener("play", () => { this.isAtSound = true; });
    $("text").addEventListener("beforeinput", () => { this.isAtSound = false; });
    $("back").addEventListener("click", () => player.skip(-2000));
    $("ahead").addEventListener("click", () => player.skip(2000));
    for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => this.openTab(tab));
    $("text").addEventListener("click", (event) => this.onClick(event));
    $("turn-dialog").addEventListener("close", () => this.onTurnChosen());
    model.addEventListener("change", () => this.showState());
    model.addEventListener("saved", () => this.onSaved());
    model.addEventListener("full", () => say("This browser keeps no drafts: save often", "bad"));
    $("help-button").addEventListener("click", () => $("help").showModal());
    describeKeys($("keys"));
    if (canEdit) {
      $("undo").addEventListener("click", () => model.undo());
      $("redo").addEventListener("click", () => model.redo());
      $("save").addEventListener("click", () => this.saving.save());
      $("finished").addEventListener("change", () => { model.finished = $("finished").checked; this.showState(); });
    }
    if (isNarrow()) this.openTab(null);
    listen(this.actions());
    this.describe();
    this.showState();
  }

  actions() {
    const { model, player } = this;
    const actions = {
      play: () => player.toggle(),
      back: () => player.skip(-2000),
      ahead: () => player.skip(2000),
      faster: () => player.faster(1),
      slower: () => player.faster(-1),
      nextPlace: () => this.goTo(this.places.next(this.here(), 1)),
      previousPlace: () => this.goTo(this.places.next(this.here(), -1)),
      nextSpeaker: () => this.toSpeaker(1),
      previousSpeaker: () => this.toSpeaker(-1),
      here: () => { player.seek(this.here()); if (player.audio.paused) player.toggle(); },
      toSound: () => this.goTo({ s: player.ms }),
      help: () => ($("help").open ? $("help").close() : $("help").showModal()),
    };
    if (!canEdit) return actions;
    return {
      ...actions,
      undo: () => model.undo(),
      redo: () => model.redo(),
      save: () => this.saving.save(),
      turn: () => this.openTurn(this.paragraphHere().id),
      rename: () => this.rename(this.paragraphHere().speaker),
    };
  }

  describe() {
    const { doc } = this.model;
    const reviewed = doc.review ? `review ${doc.review.number} by ${doc.review.author}, ${new Date(doc.review.created_at).toLocaleString()}${doc.review.finished ? ", all checked" : ""}` : "not reviewed";
    $("about").textContent = [clock(doc.duration_ms), doc.language, doc.model, reviewed].join(" · ");
    $("warnings").replaceChildren(...doc.warnings.map(({ code, detail }) => {
      const row = element("li");
      row.append(element("strong", "", `${code.replaceAll("_", " ")}: `), detail);
      return row;
    }));
    if (canEdit) $("finished").checked = this.model.finished;
  }

  showState() {
    if (!canEdit) return;
    const { model } = this;
    $("undo").disabled = !model.past.length;
    $("redo").disabled = !model.future.length;
    const isChanged = model.past.length > 0 && model.isChanged || model.finished !== (model.doc.review?.finished ?? false) || this.isRestored;
    $("save").disabled = !isChanged;
    if (isChanged && !this.saving.isSaving) say("Unsaved changes, kept in this browser");
    else if (!this.saving.isSaving && $("state").textContent.startsWith("Unsaved")) say("");
  }

  onSaved() {
    this.isRestored = false;
    this.describe();
    $("save").disabled = !this.model.isChanged;
    $("notice").hidden = true;
    this.reloadFiles();
  }

  /** The list of files with the version that was just saved. */
  async reloadFiles() {
    const answer = await fetch("./");
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("panel-files");
    $("panel-files").replaceChildren(...fresh.childNodes);
  }

  /** Take up a draft of an earlier visit. One that was made from an older review is put together when it is saved. */
  async restore() {
    const draft = this.drafts.read();
    if (!draft) return;
    const { model } = this;
    if (draft.review !== (model.doc.review?.number ?? null)) {
      model.load(await fetchDocument(draft.review ?? 0));
      this.editor.drawAll();
    }
    this.isRestored = true;
    model.show(restored(draft, model.base), null);
    const discard = button("Discard them", "quiet", () => { this.drafts.drop(); location.reload(); });
    $("notice").replaceChildren(`Your unsaved changes of ${new Date(draft.at).toLocaleString()} are here again. `, discard);
    $("notice").hidden = false;
  }

  /** Open a panel. Where the page is narrow they stand above the text: all begin closed, and a second click closes one. */
  openTab(tab) {
    const closes = isNarrow() && tab?.getAttribute("aria-selected") === "true";
    for (const other of document.querySelectorAll("[role=tab]")) {
      const isOpen = other === tab && !closes;
      other.setAttribute("aria-selected", isOpen);
      $(other.getAttribute("aria-controls")).hidden = !isOpen;
    }
    this.subtitles.load();
  }

  /** The time of the cursor, or of the sound: whichever moved last. */
  here() {
    const { caret } = this.model;
    if (!caret || this.isAtSound) return this.player.ms;
    const paragraph = this.model.paragraphs[this.model.index(caret.id)];
    if (!paragraph) return this.player.ms;
    const word = paragraph.words[this.model.touchedBefore(paragraph, caret.offset).count] ?? paragraph.words.at(-1);
    return word?.s ?? paragraph.s;
  }

  paragraphHere() {
    const { paragraphs } = this.model;
    return paragraphs[Math.max(0, this.model.index(this.model.caret?.id))] ?? paragraphs[0];
  }

  /** Go to a place in text and sound. */
  goTo(place) {
    if (!place) return say("No further place");
    const { paragraphs, joiner } = this.model;
    const paragraph = paragraphs[Math.max(0, lastBefore(paragraphs, place.s))];
    const index = Math.max(0, lastBefore(paragraph.words, place.s));
    const offset = paragraph.words.slice(0, index).reduce((length, word) => length + word.t.length + joiner.length, 0);
    this.player.seek(place.s);
    this.isAtSound = false;
    this.model.caret = { id: paragraph.id, offset };
    $("text").focus({ preventScroll: true });
    this.editor.place(this.model.caret);
    (this.editor.spans(paragraph.id)[index] ?? this.editor.nodes.get(paragraph.id)).scrollIntoView({ block: "center" });
    this.subtitles.later();
  }

  toTurn(isWanted, step) {
    const { paragraphs } = this.model, at = lastBefore(paragraphs, this.here());
    const found = step > 0 ? paragraphs.find((p, k) => k > at && isWanted(p)) ?? paragraphs.find(isWanted)
      : paragraphs.findLast((p, k) => k < at && isWanted(p));
    if (found) this.goTo({ s: found.s });
  }

  toSpeaker(step) {
    const { speaker } = this.paragraphHere();
    this.toTurn((paragraph) => paragraph.speaker !== speaker, step);
  }

  onClick(event) {
    const turn = event.target.closest(".turn");
    if (!turn) return;
    this.isAtSound = false;
    const id = Number(turn.dataset.id), paragraph = this.model.paragraphs[this.model.index(id)];
    if (event.target.matches(".speaker")) {
      if (canEdit) this.openTurn(id);
    } else if (event.target.matches(".time")) this.player.seek(paragraph.s);
    else if (event.target.matches("p > span") && document.getSelection().isCollapsed) {
      const word = paragraph.words[[...event.target.parentElement.children].indexOf(event.target)];
      if (word) this.player.seek(word.s);
      this.subtitles.later();
    }
  }

  openTurn(id) {
    this.turn = id;
    const { model } = this, dialog = $("turn-dialog"), paragraph = model.paragraphs[model.index(id)];
    $("turn-speakers").replaceChildren(...model.speakers.map((speaker, k) => {
      const row = element("li");
      row.dataset.colour = k % 8;
      const choose = button(model.name(speaker.id), "choice", () => dialog.close(`speaker:${speaker.id}`));
      choose.setAttribute("aria-pressed", speaker.id === paragraph.speaker);
      choose.prepend(element("span", "dot"));
      row.append(choose);
      return row;
    }));
    $("turn-new").value = "";
    dialog.returnValue = "";
    dialog.showModal();
  }

  onTurnChosen() {
    const { returnValue } = $("turn-dialog"), name = $("turn-new").value;
    if (returnValue.startsWith("speaker:")) this.model.assign(this.turn, returnValue.slice("speaker:".length));
    else if (returnValue === "new" && name.trim()) this.model.assignNew(this.turn, name);
    $("text").focus({ preventScroll: true });
    if (this.model.caret) this.editor.place(this.model.caret);
  }

  rename(speaker) {
    if ($("panel-speakers").hidden) this.openTab($("tab-speakers"));
    $("speakers").querySelector(`[data-id="${CSS.escape(speaker)}"] input`)?.select();
  }

  /** Mark music and silence: stretches without words, by what the waveform has there. */
  markPauses() {
    let end = 0;
    for (const paragraph of this.model.paragraphs) {
      const pause = this.player.nameOfPause(end, paragraph.s);
      if (pause) this.editor.setPause(paragraph.id, pause);
      end = Math.max(end, paragraph.e);
    }
  }
}

start().catch((error) => say(`This programme cannot be shown: ${error.message}`, "bad"));
