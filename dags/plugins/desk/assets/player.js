/**
 * Sound: the audio element, the waveform from precomputed peaks, and the word that is being said.
 *
 * The peaks are a file of BBC's audiowaveform (version 1, 8 bit): a header of 20 bytes, then the lowest and the highest
 * sample of every 40 ms.
 */

import { clock } from "./time.js";

const HEADER_BYTES = 20;
const ZOOM_MS = 24_000;
const QUIET = 4; // of 127, about -30 dBFS
const MIN_PAUSE_MS = 5_000;
export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export class Player extends EventTarget {
  constructor({ audio, overview, zoom, position, play }, durationMs) {
    super();
    Object.assign(this, { audio, overview, zoom, position, playButton: play, durationMs, marks: [], peaks: null });
    audio.addEventListener("play", () => { this.update(); this.tick(); });
    audio.addEventListener("pause", () => this.update());
    for (const type of ["seeked", "loadedmetadata", "ended"]) audio.addEventListener(type, () => this.update());
    play.addEventListener("click", () => this.toggle());
    for (const canvas of [overview, zoom]) {
      canvas.addEventListener("pointerdown", (event) => this.onPointer(event));
      canvas.addEventListener("pointermove", (event) => event.buttons && this.onPointer(event));
    }
    new ResizeObserver(() => this.draw()).observe(overview);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  async loadPeaks(url) {
    const answer = await fetch(url);
    if (!answer.ok) return;
    const data = await answer.arrayBuffer();
    const view = new DataView(data);
    this.msPerPeak = (1000 * view.getInt32(12, true)) / view.getInt32(8, true);
    this.peaks = new Int8Array(data, HEADER_BYTES);
    this.draw();
  }

  get ms() {
    return this.target ?? this.audio.currentTime * 1000;
  }

  seek(ms) {
    this.target = Math.min(Math.max(0, ms), this.durationMs);
    this.audio.currentTime = this.target / 1000;
    this.update();
    if (this.audio.readyState) this.audio.addEventListener("seeked", () => { this.target = undefined; }, { once: true });
  }

  skip(ms) {
    this.seek(this.ms + ms);
  }

  toggle() {
    this.target = undefined;
    if (this.audio.paused) this.audio.play().catch(() => this.update());
    else this.audio.pause();
  }

  get speed() {
    return this.audio.playbackRate;
  }

  set speed(rate) {
    this.audio.playbackRate = rate;
    this.dispatchEvent(new Event("speed"));
  }

  faster(step) {
    const at = SPEEDS.findIndex((speed) => speed >= this.speed);
    this.speed = SPEEDS[Math.min(Math.max(at + step, 0), SPEEDS.length - 1)];
  }

  tick() {
    if (this.audio.paused) return;
    this.update();
    requestAnimationFrame(() => this.tick());
  }

  update() {
    const isPlaying = !this.audio.paused;
    this.playButton.setAttribute("aria-pressed", isPlaying);
    this.playButton.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    this.position.textContent = clock(this.ms);
    this.draw();
    this.dispatchEvent(new Event("time"));
  }

  /** Places that the waveform marks: [{s, e}] in ms. */
  setMarks(marks) {
    this.marks = marks;
    this.draw();
  }

  /** The highest sample between two times, 0 to 127. */
  loudness(startMs, endMs) {
    let highest = 0;
    const end = Math.min(this.peaks.length, 2 * Math.ceil(endMs / this.msPerPeak));
    for (let i = 2 * Math.floor(startMs / this.msPerPeak); i < end; i++) highest = Math.max(highest, Math.abs(this.peaks[i]));
    return highest;
  }

  /** What a stretch without words is called; empty if it is a short pause. */
  nameOfPause(startMs, endMs) {
    if (endMs - startMs < MIN_PAUSE_MS) return "";
    const length = clock(endMs - startMs);
    if (!this.peaks) return `${length} without words`;
    let loud = 0, count = 0;
    for (let at = startMs; at < endMs; at += 1000, count++) loud += this.loudness(at, at + 1000) > QUIET;
    return loud > count / 2 ? `Music or noise, ${length}` : `Silence, ${length}`;
  }

  draw() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.drawStrip(this.overview, 0, this.durationMs);
      const start = Math.max(0, this.ms - ZOOM_MS / 3);
      this.drawStrip(this.zoom, start, start + ZOOM_MS);
    });
  }

  drawStrip(canvas, startMs, endMs) {
    const scale = devicePixelRatio, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * scale)) [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name);
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const msPerPx = (endMs - startMs) / width, now = (this.ms - startMs) / msPerPx;
    pen.fillStyle = colour("--doubt");
    for (const { s, e } of this.marks)
      if (e > startMs && s < endMs) pen.fillRect((s - startMs) / msPerPx, height - 3, Math.max(2, (e - s) / msPerPx), 3);
    if (this.peaks) {
      const played = colour("--accent"), ahead = colour("--rest");
      for (let x = 0; x < width; x += 3) {
        const from = startMs + x * msPerPx;
        if (from > this.durationMs) break;
        const half = Math.max(1, (this.loudness(from, from + 3 * msPerPx) / 127) * (height - 8));
        pen.fillStyle = x < now ? played : ahead;
        pen.fillRect(x, (height - 4 - half) / 2, 2, half);
      }
    }
    pen.fillStyle = colour("--ink");
    pen.fillRect(Math.round(now), 0, 1.5, height);
  }

  onPointer(event) {
    const canvas = event.currentTarget, share = event.offsetX / canvas.clientWidth;
    if (canvas === this.overview) this.seek(share * this.durationMs);
    else if (event.type === "pointerdown") this.seek(Math.max(0, this.ms - ZOOM_MS / 3) + share * ZOOM_MS);
  }
}

/** Marks the word that is said at a time, and keeps it in view while nobody types. */
export class Highlight {
  constructor(editor, player) {
    Object.assign(this, { editor, player });
    player.addEventListener("time", () => this.show());
  }

  show() {
    const { paragraphs } = this.editor.model, ms = this.player.ms;
    const paragraph = paragraphs[lastBefore(paragraphs, ms)];
    const word = paragraph ? lastBefore(paragraph.words, ms) : -1;
    const span = word < 0 || paragraph.words[word].e + 400 < ms ? null : this.editor.spans(paragraph.id)[word];
    if (span === this.span && span?.isConnected) return;
    this.span?.classList.remove("said");
    span?.classList.add("said");
    this.span = span;
    if (span && !this.player.audio.paused && !this.editor.root.contains(document.activeElement)) this.follow(span);
  }

  follow(span) {
    const { top, bottom } = span.getBoundingClientRect();
    if (top < innerHeight * 0.25 || bottom > innerHeight * 0.75) span.scrollIntoView({ block: "center" });
  }
}

/** Index of the last item that starts by `ms`; -1 if none does. */
export function lastBefore(items, ms) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].s <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
