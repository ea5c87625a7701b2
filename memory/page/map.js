// The address map: every segment as a row, its blocks by category, what is free hatched, and the present event.

const SEGMENT_NAME = 84;
const MOST_SEGMENTS = 1500;

class AddressMap {
  constructor(page, holder) {
    Object.assign(this, {page, holder, blocks: []});
    const step = (by, text, title) => {
      const button = element("button", {type: "button", title}, text);
      button.addEventListener("click", () => page.step(by));
      return button;
    };
    this.play = element("button", {type: "button", id: "play", title: "let events run"}, "\u25b6");
    this.play.addEventListener("click", () => this.toggle());
    this.scale = element(
        "select", {id: "scale"}, element("option", {value: "each"}, "each segment at full width"),
        element("option", {value: "same"}, "all to the same scale"));
    this.scale.addEventListener("change", () => page.look.set({scale: this.scale.value}));
    this.event = element("span", {id: "event"});
    this.figures = element("p", {id: "figures", className: "soft"});
    this.canvas = element("canvas", {id: "map"});
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", (event) => showTip(event, null));
    holder.append(
        element(
            "div", {className: "bar"}, step(-1, "\u25c2", "one event back"), this.play,
            step(1, "\u25b8", "one event on"), this.event, element("span", {className: "grow"}), runChoice(page),
            this.scale),
        this.figures, element("div", {className: "scroll"}, this.canvas));
  }

  toggle() {
    if (this.timer) clearInterval(this.timer);
    this.timer = this.timer ? null : setInterval(() => this.page.step(1) || this.toggle(), 80);
    this.play.textContent = this.timer ? "\u23f8" : "\u25b6";
  }

  draw() {
    const {page} = this;
    const run = (this.run = page.runs[page.chosen()]);
    const row = (this.row = page.row(page.chosen()));
    this.scale.value = page.look.scale;
    this.event.textContent = `event ${grouped(run.event(row))}${run.time && row >= run.initial ? ` (${run.timeText(row)})` : ""}: ${run.eventText(row)}`;
    const {held, waiting} = run.aliveAt(row);
    this.blocks = held.concat(waiting).sort((a, b) => run.position[a] - run.position[b]);
    this.segments = this.joined(run.segmentsAt(row));
    this.showFigures(held);
    const shown = this.segments.slice(0, MOST_SEGMENTS);
    const pitch = (this.pitch = shown.length <= 40 ? 24 : shown.length <= 150 ? 14 : 7);
    const width = (this.width = page.width());
    const context = fit(this.canvas, width, shown.length * pitch + 4);
    this.inner = width - SEGMENT_NAME - 8;
    this.most = Math.max(1, ...shown.map(({begin, end}) => end - begin));
    this.paint(context, shown, pitch);
  }

  /** Pieces of a range that were mapped one by one are one segment as soon as they touch and share a block. */
  joined(pieces) {
    const result = [];
    let next = 0;
    const {run, blocks} = this;
    for (const piece of pieces) {
      const last = result.at(-1);
      while (next < blocks.length && run.position[blocks[next]] + run.size[blocks[next]] <= piece.begin) ++next;
      if (last && last.end === piece.begin && next < blocks.length && run.position[blocks[next]] < piece.begin)
        last.end = piece.end;
      else
        result.push({...piece});
    }
    return result;
  }

  /** The free stretches, whose greatest one decides what still fits. */
  showFigures(held) {
    const {run, blocks, segments} = this;
    let next = 0;
    let free = 0;
    let largest = 0;
    for (const {begin, end} of segments) {
      let at = begin;
      const gap = (to) => {
        free += to - at;
        largest = Math.max(largest, to - at);
      };
      for (; next < blocks.length && run.position[blocks[next]] < end; ++next) {
        gap(run.position[blocks[next]]);
        at = run.position[blocks[next]] + run.size[blocks[next]];
      }
      gap(end);
    }
    const rounding = held.reduce((sum, block) => sum + run.size[block] - run.requested[block], 0);
    const fragmentation = free > 0 ? `${(100 * (1 - largest / free)).toFixed(1)} %` : "none";
    this.free = {free, largest};
    this.figures.textContent =
        `${grouped(segments.length)} segments, ${grouped(blocks.length)} blocks; free ${bytesText(free)}, ` +
        `largest free stretch ${bytesText(largest)}, fragmentation ${fragmentation}; rounding ${bytesText(rounding)}` +
        (segments.length > MOST_SEGMENTS ? `; the first ${grouped(MOST_SEGMENTS)} segments are drawn` : "");
  }

  /** Pixels per byte in a segment. */
  scaleOf({begin, end}) {
    return this.inner / (this.page.look.scale === "same" ? this.most : end - begin);
  }

  paint(context, segments, pitch) {
    const {run, blocks, row} = this;
    const height = pitch - (pitch > 10 ? 4 : 1);
    const colors = run.names.categories.map((name) => color(name));
    const free = hatch(context);
    const alarm = color("alarm");
    const ground = color("ground");
    let next = 0;
    context.font = `11px ${color("font")}`;
    segments.forEach((segment, line) => {
      const y = 2 + line * pitch;
      const scale = this.scaleOf(segment);
      const width = Math.max(2, (segment.end - segment.begin) * scale);
      if (pitch > 10) {
        const label = bytesText(segment.end - segment.begin);
        context.fillStyle = color("ink");
        context.fillText(label, SEGMENT_NAME - 8 - context.measureText(label).width, y + height / 2 + 4);
      }
      context.fillStyle = ground;
      context.fillRect(SEGMENT_NAME, y, width, height);
      context.fillStyle = free;
      context.fillRect(SEGMENT_NAME, y, width, height);
      context.strokeStyle = color("line");
      context.strokeRect(SEGMENT_NAME + 0.5, y + 0.5, width, height - 1);
      for (; next < blocks.length && run.position[blocks[next]] < segment.end; ++next) {
        const block = blocks[next];
        const x = SEGMENT_NAME + (run.position[block] - segment.begin) * scale;
        const wide = run.size[block] * scale;
        context.fillStyle = colors[run.tags[run.tagAt(block, row)][0]];
        context.globalAlpha = run.freed[block] <= row ? 0.4 : 1;
        context.fillRect(x, y, Math.max(0.6, wide - (wide > 4 ? 1 : 0)), height);
        context.globalAlpha = 1;
        const unused = (run.size[block] - run.requested[block]) * scale;
        if (unused >= 1) {
          context.fillStyle = alarm;
          context.fillRect(x + wide - unused, y + height - 3, unused, 3);
        }
      }
    });
    this.paintSubject(context, segments, pitch, height);
  }

  /** A frame around the block or the segment of the present event, also where it has just gone. */
  paintSubject(context, segments, pitch, height) {
    const {run, row} = this;
    const subject = run.subject[row];
    if (subject < 0 || run.kind[row] > KIND.segmentFree) return;
    const {position, size} = run.kind[row] >= KIND.segmentAlloc
        ? run.segmentEvents[subject]
        : {position: run.position[subject], size: run.size[subject]};
    const line = segments.findIndex(({begin, end}) => position >= begin && position < end);
    if (line < 0) return;
    const scale = this.scaleOf(segments[line]);
    context.strokeStyle = color("ink");
    context.lineWidth = 2;
    if (run.kind[row] === KIND.freeRequested || run.kind[row] === KIND.freeCompleted) context.setLineDash([4, 3]);
    context.strokeRect(
        SEGMENT_NAME + (position - segments[line].begin) * scale, 2 + line * pitch, Math.max(4, size * scale), height);
    context.setLineDash([]);
    context.lineWidth = 1;
  }

  hover(event) {
    const {run, row} = this;
    const segment = this.segments?.[Math.floor((event.offsetY - 2) / this.pitch)];
    const position = segment && segment.begin + (event.offsetX - SEGMENT_NAME) / this.scaleOf(segment);
    if (!segment || position < segment.begin || position >= segment.end) return showTip(event, null);
    const block = this.blocks.find(
        (block) => position >= run.position[block] && position < run.position[block] + run.size[block]);
    const place =
        `offset ${bytesText(position - segment.begin)} of a segment of ${bytesText(segment.end - segment.begin)}`;
    if (block === undefined) return showTip(event, ["free", place]);
    const tag = run.tagAt(block, row);
    showTip(event, [
      `${bytesText(run.size[block])}, ${words(run.names.categories[run.tags[tag][0]])}${
          run.freed[block] <= row ? ", freed, waits for other streams" : ""}`,
      run.placeText(tag),
      `${bytesText(run.requested[block])} requested, since event ${grouped(run.event(run.born[block]))}`, place
    ]);
  }
}
