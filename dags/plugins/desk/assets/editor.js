/**
 * The text on the page: draws a `Model`, turns what is typed into its edits, and keeps the caret.
 *
 * The browser never edits the page itself, except while an input method composes a word: every `beforeinput` becomes an
 * edit of the model, and the paragraphs that are no longer the same are drawn again. The browser lays out only what is
 * near the screen (`content-visibility`), and only there is each word an element of its own: elsewhere a paragraph is
 * one text. So four hours scroll like four minutes.
 */

import { clock } from "./time.js";

const DELETIONS = /^delete/;
const WORD_HEIGHT_PX = 6; // of a paragraph per word, until it has been laid out
const NEAR = "1500px 0px"; // the screen
const SETTLE_MS = 100;

export class Editor {
  /** @param root the editable element */
  constructor(root, model, { canEdit }) {
    this.root = root;
    this.model = model;
    this.nodes = new Map();
    this.pauses = new Map();
    this.threshold = 0.6;
    this.near = new Set(); // ids of paragraphs whose words are elements
    this.passing = new Map(); // id → whether it is near the screen now
    this.observer = new IntersectionObserver((entries) => this.onNear(entries), { rootMargin: NEAR });
    root.contentEditable = canEdit; // not "plaintext-only": there Chromium gives edits no target ranges
    this.drawAll();
    model.addEventListener("change", ({ detail }) => this.redraw(detail.before, detail.caret));
    if (!canEdit) return;
    root.addEventListener("beforeinput", (event) => this.onInput(event));
    root.addEventListener("compositionstart", () => { this.composing = this.selection(); });
    root.addEventListener("compositionend", (event) => this.onComposed(event));
    root.addEventListener("copy", (event) => this.onCopy(event));
    root.addEventListener("cut", (event) => this.onCopy(event));
    document.addEventListener("selectionchange", () => this.onSelection());
  }

  drawAll() {
    this.observer.disconnect();
    this.nodes.clear();
    this.near.clear();
    const fragment = document.createDocumentFragment();
    for (const paragraph of this.model.paragraphs) fragment.append(this.draw(paragraph));
    this.root.replaceChildren(fragment);
  }

  /** Draw what differs between two states, and put the caret where the edit left it. */
  redraw(before, caret) {
    const old = before.paragraphs, now = this.model.paragraphs;
    let head = 0, tail = 0;
    while (head < old.length && head < now.length && old[head] === now[head]) head++;
    while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
    const fresh = now.slice(head, now.length - tail), kept = new Set(fresh.map((paragraph) => paragraph.id));
    for (const { id } of old.slice(head, old.length - tail)) {
      if (!kept.has(id)) this.remove(id);
    }
    let next = tail ? this.nodes.get(now.at(-tail).id) : null;
    for (const paragraph of fresh.reverse()) {
      const turn = this.nodes.get(paragraph.id);
      if (turn) this.drawAgain(turn, paragraph);
      next = turn ?? this.root.insertBefore(this.draw(paragraph), next);
    }
    if (before.speakers !== this.model.speakers) this.drawNames();
    this.clearGap();
    if (caret && this.root.contains(document.activeElement)) this.place(caret);
  }

  remove(id) {
    const turn = this.nodes.get(id);
    if (!turn) return;
    this.observer.unobserve(turn);
    turn.remove();
    this.nodes.delete(id);
    this.near.delete(id);
  }

  draw(paragraph) {
    const turn = document.createElement("section");
    turn.className = "turn";
    turn.dataset.id = paragraph.id;
    turn.style.containIntrinsicBlockSize = `auto ${40 + WORD_HEIGHT_PX * paragraph.words.length}px`;
    const who = document.createElement("div");
    who.className = "who";
    who.contentEditable = "false";
    const speaker = document.createElement("button");
    speaker.type = "button";
    speaker.className = "speaker";
    speaker.tabIndex = -1;
    const time = document.createElement("button");
    time.type = "button";
    time.className = "time";
    time.tabIndex = -1;
    time.textContent = clock(paragraph.s);
    who.append(speaker, time);
    turn.append(who, document.createElement("p"));
    if (this.pauses.has(paragraph.id)) turn.dataset.pause = this.pauses.get(paragraph.id);
    this.nodes.set(paragraph.id, turn);
    this.drawAgain(turn, paragraph);
    this.observer.observe(turn);
    return turn;
  }

  drawAgain(turn, paragraph) {
    turn.classList.toggle("suspect", paragraph.suspect);
    this.drawWords(turn.lastElementChild, paragraph);
    this.drawName(turn, paragraph);
  }

  drawWords(line, paragraph) {
    const nodes = [];
    if (!this.near.has(paragraph.id)) {
      const text = this.model.text(paragraph);
      if (text) nodes.push(text);
    } else for (const word of paragraph.words) {
      if (nodes.length && this.model.joiner) nodes.push(this.model.joiner);
      const span = document.createElement("span");
      span.textContent = word.t;
      const shade = this.shade(word);
      if (shade) span.className = shade;
      nodes.push(span);
    }
    line.replaceChildren(...(nodes.length ? nodes : [document.createElement("br")]));
  }

  /** Paragraphs came near the screen, or left it. What only flies past is not drawn. */
  onNear(entries) {
    for (const { target, isIntersecting } of entries) this.passing.set(Number(target.dataset.id), isIntersecting);
    this.settling ??= setTimeout(() => this.settle(), SETTLE_MS);
  }

  settle() {
    for (const [id, isNear] of this.passing) {
      if (isNear) this.spans(id);
      else if (this.near.has(id) && !this.composing && this.gap?.id !== id) {
        this.near.delete(id);
        this.drawInPlace(id);
        this.line(id).getBoundingClientRect(); // or the layout that the browser keeps would hold the old elements
      }
    }
    this.passing.clear();
    this.settling = undefined;
  }

  /** Draw the words of a paragraph again, with the caret or the ends of a selection where they were. */
  drawInPlace(id) {
    const line = this.line(id), selection = document.getSelection();
    const { anchorNode, anchorOffset, focusNode, focusOffset } = selection;
    const ends = [[anchorNode, anchorOffset], [focusNode, focusOffset]];
    const offsets = ends.map(([node, at]) => (line.contains(node) ? lengthTo(line, node, at) : null));
    this.drawWords(line, this.model.paragraphs[this.model.index(id)]);
    if (offsets.every((offset) => offset === null)) return;
    selection.setBaseAndExtent(...offsets.flatMap((offset, k) => (offset === null ? ends[k] : positionAt(line, offset))));
  }

  /** The class of a word: typed by a person, or how doubtful it is. */
  shade(word) {
    if (word.n) return "typed";
    if (word.c === null || word.c >= this.threshold) return "";
    return word.c < this.threshold / 3 ? "doubt3" : word.c < (2 * this.threshold) / 3 ? "doubt2" : "doubt1";
  }

  drawName(turn, paragraph) {
    const number = this.model.speakers.findIndex((speaker) => speaker.id === paragraph.speaker);
    turn.dataset.colour = number < 0 ? "none" : number % 8;
    turn.querySelector(".speaker").textContent = this.model.name(paragraph.speaker);
  }

  drawNames() {
    for (const paragraph of this.model.paragraphs) this.drawName(this.nodes.get(paragraph.id), paragraph);
  }

  /** Write above a turn how long nobody spoke before it. */
  setPause(id, text) {
    this.pauses.set(id, text);
    this.nodes.get(id).dataset.pause = text;
  }

  /** Shade words below another confidence. */
  setThreshold(threshold) {
    this.threshold = threshold;
    for (const paragraph of this.model.paragraphs) {
      if (!this.near.has(paragraph.id)) continue;
      const spans = this.spans(paragraph.id);
      paragraph.words.forEach((word, k) => { spans[k].className = this.shade(word); });
    }
  }

  line(id) {
    return this.nodes.get(id)?.lastElementChild;
  }

  /** The elements of a paragraph's words, which are made if it is far from the screen. */
  spans(id) {
    const line = this.line(id);
    if (!line) return [];
    if (!this.near.has(id)) {
      this.near.add(id);
      this.drawInPlace(id);
    }
    return line.getElementsByTagName("span");
  }

  /** The point of the model at a DOM position: {id, offset}, or null outside the text. */
  point(node, at) {
    const turn = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest?.(".turn");
    if (!turn) return node === this.root ? this.edge(at) : null;
    const line = turn.lastElementChild, id = Number(turn.dataset.id);
    if (!line.contains(node)) return { id, offset: node === turn && at > 1 ? line.textContent.length : 0 };
    const offset = lengthTo(line, node, at);
    return { id, offset: this.gap?.id === id && offset > this.gap.offset ? offset - 1 : offset };
  }

  /** The point before child number `at` of the whole text. */
  edge(at) {
    const { paragraphs } = this.model;
    const paragraph = paragraphs[Math.min(at, paragraphs.length - 1)];
    return { id: paragraph.id, offset: at < paragraphs.length ? 0 : this.model.text(paragraph).length };
  }

  /** The selection as two points of the model in order; null if it is elsewhere. */
  selection() {
    const selection = document.getSelection();
    if (!selection.rangeCount) return null;
    return this.points(selection.getRangeAt(0));
  }

  points(range) {
    const from = this.point(range.startContainer, range.startOffset);
    const to = this.point(range.endContainer, range.endOffset);
    return from && to ? [from, to] : null;
  }

  /** Put the caret at a point. A gap is shown as a space that belongs to no word yet. */
  place({ id, offset, gap }) {
    const line = this.line(id);
    if (!line) return;
    this.spans(id);
    let [target, at] = positionAt(line, offset);
    if (gap && line.textContent) {
      const space = document.createTextNode("\u00a0");
      const range = document.createRange();
      if (target.parentElement !== line) range.setStartAfter(target.parentElement);
      else range.setStart(target, at);
      if (!offset) range.setStart(line, 0);
      range.insertNode(space);
      this.gap = { id, offset, space };
      [target, at] = [space, 1];
    }
    document.getSelection().collapse(target, at);
    this.nodes.get(id).scrollIntoView({ block: "nearest" });
  }

  clearGap() {
    this.gap?.space.remove();
    this.gap = null;
  }

  onSelection() {
    const { anchorNode } = document.getSelection();
    if (this.composing || !this.root.contains(anchorNode)) return;
    if (this.gap?.space === anchorNode) return;
    this.clearGap();
    const points = this.selection();
    if (points) this.model.caret = points[0];
  }

  onInput(event) {
    const type = event.inputType;
    if (this.composing || type === "insertCompositionText") return;
    event.preventDefault();
    if (type === "historyUndo") return this.model.undo();
    if (type === "historyRedo") return this.model.redo();
    const [target] = event.getTargetRanges();
    const points = target && this.points(target);
    if (!points) return;
    const [from, to] = points;
    if (type === "insertParagraph" || type === "insertLineBreak") {
      if (from.id !== to.id || from.offset !== to.offset) this.model.replace(from, to, "", "delete");
      this.model.split(this.model.caret);
    } else if (DELETIONS.test(type)) this.model.replace(from, to, "", type === "deleteContentBackward" ? "type" : "delete");
    else this.insert(from, to, event.data ?? event.dataTransfer?.getData("text/plain") ?? "", type);
  }

  insert(from, to, text, type) {
    if (!text) return;
    const gap = this.gap;
    if (gap && !/^\s/u.test(text) && from.id === gap.id && from.offset === gap.offset && to.offset === from.offset)
      text = from.offset ? ` ${text}` : `${text} `;
    this.model.replace(from, to, text, type === "insertText" ? "type" : "paste");
    if (gap && !gap.offset && text.endsWith(" ")) { // the next letters belong to this word, not to the one after it
      this.model.caret = { id: gap.id, offset: text.length - 1 };
      this.place(this.model.caret);
    }
  }

  /** A word from an input method has been written into the page: take it over. */
  onComposed(event) {
    const points = this.composing;
    this.composing = null;
    if (!points) return;
    const { paragraphs } = this.model;
    for (const { id } of points) this.drawWords(this.line(id), paragraphs[this.model.index(id)]);
    this.insert(points[0], points[1], event.data ?? "", "insertText");
  }

  /** Copied text is plain: no names, no times. */
  onCopy(event) {
    const points = this.selection();
    if (!points) return;
    const text = [...document.getSelection().getRangeAt(0).cloneContents().querySelectorAll("p")].map((p) => p.textContent);
    const copied = text.length ? text.join("\n\n") : document.getSelection().toString();
    event.clipboardData.setData("text/plain", copied.replaceAll("\u00a0", " "));
    event.preventDefault();
    if (event.type === "cut") this.model.replace(points[0], points[1], "", "delete");
  }
}

/** The length of a line's text before a DOM position in it. */
function lengthTo(line, node, at) {
  const range = document.createRange();
  range.setStart(line, 0);
  range.setEnd(node, at);
  return range.toString().length;
}

/** The DOM position after `offset` characters of a line: [node, offset in it]. */
function positionAt(line, offset) {
  let rest = offset, position = [line, 0];
  const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    position = [node, Math.min(rest, node.length)];
    if (rest <= node.length) break;
    rest -= node.length;
  }
  return position;
}
