// A run: its events as typed arrays, and what memory looked like after any of them. A row is an event; the first
// `initial` rows lead to what was alive when the recording began, and event numbers count from there.

const CHECKPOINT = 128;  // rows between stored sums per category
const BUCKET = 64;

/** Where values are lowest and highest between two rows, without looking at all of them. */
class Extremes {
  constructor(values) {
    this.values = values;
    const buckets = Math.ceil(values.length / BUCKET);
    this.least = new Int32Array(buckets);
    this.most = new Int32Array(buckets);
    for (let bucket = 0; bucket < buckets; ++bucket) {
      const begin = bucket * BUCKET;
      const found = {least: begin, most: begin};
      this.scan(begin, Math.min(begin + BUCKET, values.length), found);
      this.least[bucket] = found.least;
      this.most[bucket] = found.most;
    }
  }
  scan(from, to, found) {
    for (let row = from; row < to; ++row) {
      if (this.values[row] < this.values[found.least]) found.least = row;
      if (this.values[row] > this.values[found.most]) found.most = row;
    }
  }
  /** Rows of the first least and the first greatest value in [from, to). */
  range(from, to) {
    const found = {least: from, most: from};
    const firstBucket = Math.ceil(from / BUCKET);
    const lastBucket = Math.floor(to / BUCKET);
    if (firstBucket >= lastBucket) {
      this.scan(from, to, found);
      return found;
    }
    this.scan(from, firstBucket * BUCKET, found);
    for (let bucket = firstBucket; bucket < lastBucket; ++bucket) {
      if (this.values[this.least[bucket]] < this.values[found.least]) found.least = this.least[bucket];
      if (this.values[this.most[bucket]] > this.values[found.most]) found.most = this.most[bucket];
    }
    this.scan(lastBucket * BUCKET, to, found);
    return found;
  }
}

/** Stretches of memory obtained from the device, by where they begin. */
class Segments {
  constructor(other) {
    this.pieces = new Map(other?.pieces);
  }
  apply({grows, position, size, stream}) {
    const end = position + size;
    if (grows) {
      this.pieces.set(position, {begin: position, end, stream});
      return;
    }
    const whole = this.pieces.get(position);
    if (whole?.end === end) {
      this.pieces.delete(position);
      return;
    }
    // Part of a range, or several pieces that were mapped one by one.
    for (const piece of [...this.pieces.values()]) {
      if (piece.end <= position || piece.begin >= end) continue;
      this.pieces.delete(piece.begin);
      if (piece.begin < position) this.pieces.set(piece.begin, {...piece, end: position});
      if (piece.end > end) this.pieces.set(end, {...piece, begin: end});
    }
  }
  list() {
    return [...this.pieces.values()].sort((a, b) => a.begin - b.begin).map((piece) => ({...piece}));
  }
}

class Run {
  constructor(header, names, kind, blocks) {
    const rows = kind.length;
    Object.assign(this, {clock: null, header, names, kind, blocks, rows, texts: header.texts, tags: header.tags});
    this.initial = header.initial;
    this.first = Math.max(0, this.initial - 1);    // the first row to be shown
    this.subject = new Int32Array(rows).fill(-1);  // the block, or the index in segmentEvents, ooms or markers
    this.category = new Uint8Array(rows);
    this.was = new Uint8Array(rows);
    this.allocated = new Float64Array(rows);
    this.reserved = new Float64Array(rows);
    this.asked = new Float64Array(rows);  // what was requested of the blocks that are held
    this.time = header.timed ? new Float64Array(header.events) : null;
    for (const field of ["position", "size", "requested", "step", "stream"]) this[field] = new Float64Array(blocks);
    this.tag = new Uint32Array(blocks);
    for (const field of ["born", "freed", "done"]) this[field] = new Int32Array(blocks).fill(rows);
    this.checkpoints = new Float64Array((Math.floor(rows / CHECKPOINT) + 1) * names.categories.length);
    this.extremes = {};
    this.retags = new Map();
    this.segmentEvents = [];
    this.segmentMarks = [{next: 0, segments: new Segments()}];  // now and then, the segments before event `next`
    this.ooms = [];
    this.markers = [];
    this.phases = [];
    this.phaseEnd = 0;  // the last row of which the phase is known
  }

  enterPhase(row, phase, step) {
    const last = this.phases.at(-1);
    if (row < this.initial) return;
    this.phaseEnd = row;
    if (!last || last.phase !== phase || last.step !== step) this.phases.push({row, phase, step});
  }

  /** Microseconds that grow with every row: events of the same one share it. */
  makeClock() {
    if (!this.time || this.time.length === 0) return;
    this.clock = new Float64Array(this.rows);
    for (let row = 0; row < this.initial; ++row)
      this.clock[row] = Math.min(0, this.time[0]) - 1 + row / this.initial;
    for (let begin = 0, end = 0; begin < this.time.length; begin = end) {
      while (end < this.time.length && this.time[end] <= this.time[begin]) ++end;
      for (let i = begin; i < end; ++i)
        this.clock[this.initial + i] = this.time[begin] + (i - begin) / (end - begin);
    }
  }
  addRetag(block, retag) {
    const list = this.retags.get(block);
    if (list)
      list.push(retag);
    else
      this.retags.set(block, [retag]);
  }

  event(row) {
    return row - this.initial;
  }
  clamp(row) {
    return Math.max(this.first, Math.min(this.rows - 1, row));
  }

  /** The number of the tag of `block` after `row`. */
  tagAt(block, row) {
    let tag = this.tag[block];
    for (const retag of this.retags.get(block) ?? []) {
      if (retag.row > row) break;
      tag = retag.tag;
    }
    return tag;
  }

  /** The step of that tag. */
  stepAt(block, row) {
    let step = this.step[block];
    for (const retag of this.retags.get(block) ?? []) {
      if (retag.row > row) break;
      step = retag.step;
    }
    return step;
  }

  /** Bytes per category after `row`, from the sums that were kept. */
  categoriesAt(row) {
    const count = this.names.categories.length;
    const checkpoint = Math.floor(row / CHECKPOINT);
    const sums = Array.from(this.checkpoints.subarray(checkpoint * count, (checkpoint + 1) * count));
    for (let i = checkpoint * CHECKPOINT; i <= row; ++i) {
      const kind = this.kind[i];
      if (kind > KIND.retag || kind === KIND.freeCompleted) continue;
      const size = this.size[this.subject[i]];
      sums[this.category[i]] += kind === KIND.freeRequested ? -size : size;
      if (kind === KIND.retag) sums[this.was[i]] -= size;
    }
    return sums;
  }

  /** Blocks that are held after `row`, and those that only wait for other streams. */
  aliveAt(row) {
    const held = [];
    const waiting = [];
    for (let block = 0; block < this.blocks && this.born[block] <= row; ++block) {
      if (this.freed[block] > row)
        held.push(block);
      else if (this.done[block] > row)
        waiting.push(block);
    }
    return {held, waiting};
  }

  /** [begin, end) of memory obtained from the device, by position. */
  segmentsAt(row) {
    let mark = this.segmentMarks.length - 1;
    const seen = ({next}) => next === 0 || this.segmentEvents[next - 1].row <= row;
    for (let low = 0; low < mark;) {
      const middle = (low + mark + 1) >> 1;
      if (seen(this.segmentMarks[middle]))
        low = middle;
      else
        mark = middle - 1;
    }
    const {next, segments} = this.segmentMarks[mark];
    const now = new Segments(segments);
    for (let i = next; i < this.segmentEvents.length && this.segmentEvents[i].row <= row; ++i)
      now.apply(this.segmentEvents[i]);
    return now.list();
  }

  /** The index in `phases` of the last one that has begun; -1 before the first. */
  phaseIndex(row) {
    let low = 0;
    let high = this.phases.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.phases[middle].row <= row)
        low = middle + 1;
      else
        high = middle;
    }
    return low - 1;
  }

  phaseText(row) {
    const phase = this.phases[this.phaseIndex(row)];
    return phase ? `${this.names.phases[phase.phase]}, step ${grouped(phase.step)}` : "before the first allocation";
  }

  /** "conv2d of encoder.0", as far as it is known. */
  placeText(tag) {
    const op = this.texts[this.tags[tag][2]];
    const module = this.texts[this.tags[tag][3]];
    return op && module ? `${op} of ${module}` : op || module || "no op";
  }

  /** What happened at `row`, as a sentence. */
  eventText(row) {
    if (row < this.initial) return "the beginning of the recording";
    const kind = this.kind[row];
    const subject = this.subject[row];
    if (kind === KIND.marker) return `marker \u201c${this.markers[subject].text}\u201d`;
    if (kind === KIND.oom) {
      const {requested, tag} = this.ooms[subject];
      return `out of memory: ${bytesText(requested)} for ${this.placeText(tag)}`;
    }
    if (kind === KIND.segmentAlloc || kind === KIND.segmentFree) {
      const {size, grows, tag} = this.segmentEvents[subject];
      return `${grows ? "obtains" : "gives back"} a segment of ${bytesText(size)} for ${this.placeText(tag)}`;
    }
    const what = `${bytesText(this.size[subject])}, ${words(this.names.categories[this.category[row]])}, ` +
        this.placeText(this.tagAt(subject, row));
    if (kind === KIND.alloc) return `allocates ${what}`;
    if (kind === KIND.freeRequested) return `frees ${what}`;
    if (kind === KIND.freeCompleted) return `can reuse ${bytesText(this.size[subject])}`;
    return `now holds as ${what} what was ${words(this.names.categories[this.was[row]])}`;
  }

  timeText(row) {
    if (!this.time || row < this.initial) return "";
    return `${(this.time[row - this.initial] / 1000).toFixed(3)} ms`;
  }
}
