// The columns of a recording out of the page's text, in small portions, so that the page never stands still.

const PORTION = 12;  // milliseconds of work between two breaths

/** Lets the browser draw and listen now and then: await breath() in long loops. */
class Breath {
  constructor() {
    this.since = performance.now();
  }
  due() {
    return performance.now() - this.since > PORTION;
  }
  async take() {
    await new Promise((resume) => setTimeout(resume));
    this.since = performance.now();
  }
}

async function bytesOf(id, breath) {
  const holder = byId(id);
  const text = holder.textContent;
  holder.remove();  // it has been the larger half of the page
  const tail = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - tail);
  const step = 1 << 18;
  for (let from = 0, to = 0; from < text.length; from += step) {
    const piece = atob(text.slice(from, from + step));
    for (let i = 0; i < piece.length; ++i) bytes[to++] = piece.charCodeAt(i);
    if (breath.due()) await breath.take();
  }
  return bytes;
}

/** LEB128 numbers one after another; exact up to 2^53. */
class Numbers {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  next() {
    let byte = this.bytes[this.at++];
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let factor = 128;; factor *= 128) {
      byte = this.bytes[this.at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }
  signed() {
    const value = this.next();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

const KIND = {
  alloc: 0,
  freeRequested: 1,
  freeCompleted: 2,
  retag: 3,
  segmentAlloc: 4,
  segmentFree: 5,
  oom: 6,
  marker: 7
};

/** Reads run `index` into a Run; `names` are those of categories and phases. */
async function decodeRun(index, header, names) {
  const breath = new Breath();
  const column = {};
  await breath.take();
  for (const name of ["kind", "place", "size", "slack", "tag", "step", "block", "stream", "time"]) {
    column[name] = await bytesOf(`run-${index}-${name}`, breath);
  }
  const kind = column.kind;
  let blocks = 0;
  for (let row = 0; row < kind.length; ++row) blocks += kind[row] === KIND.alloc;
  const run = new Run(header, names, kind, blocks);
  await breath.take();
  const from = Object.fromEntries(Object.entries(column).map(([name, bytes]) => [name, new Numbers(bytes)]));
  const writer = new RunWriter(run, from);
  for (let row = 0; row < kind.length; ++row) {
    writer.add(row);
    if (row % 4096 === 0 && breath.due()) await breath.take();
  }
  run.makeClock();
  for (const name of ["allocated", "reserved"]) {
    run.extremes[name] = new Extremes(run[name]);
    await breath.take();
  }
  return run;
}

/** Replays the events, as the program's own ledger did. */
class RunWriter {
  constructor(run, from) {
    Object.assign(this, {run, from, place: 0, step: 0, block: 0, time: 0, allocated: 0, reserved: 0, asked: 0});
    this.categories = new Float64Array(run.names.categories.length);
    this.tagNow = new Uint32Array(run.blocks);
    this.segments = new Segments();
  }

  readPlace() {
    return (this.place += this.from.place.signed());
  }
  readTag() {
    const tag = this.from.tag.next();
    this.step += this.from.step.signed();
    return tag;
  }
  hold(category, bytes) {
    this.categories[category] += bytes;
    this.allocated += bytes;
  }

  add(row) {
    const {run, from} = this;
    if (row % CHECKPOINT === 0) run.checkpoints.set(this.categories, (row / CHECKPOINT) * this.categories.length);
    switch (run.kind[row]) {
      case KIND.alloc: {
        const block = this.block++;
        run.position[block] = this.readPlace();
        const size = (run.size[block] = from.size.next());
        run.requested[block] = size - from.slack.signed();
        const tag = (this.tagNow[block] = run.tag[block] = this.readTag());
        run.step[block] = this.step;
        run.stream[block] = from.stream.signed();
        run.born[block] = row;
        run.subject[row] = block;
        this.hold((run.category[row] = run.tags[tag][0]), size);
        this.asked += run.requested[block];
        run.enterPhase(row, run.tags[tag][1], this.step);
        break;
      }
      case KIND.freeRequested: {
        const block = (run.subject[row] = this.block - 1 - from.block.next());
        run.freed[block] = row;
        this.hold((run.category[row] = run.tags[this.tagNow[block]][0]), -run.size[block]);
        this.asked -= run.requested[block];
        break;
      }
      case KIND.freeCompleted:
        run.done[(run.subject[row] = this.block - 1 - from.block.next())] = row;
        break;
      case KIND.retag: {
        const block = (run.subject[row] = this.block - 1 - from.block.next());
        run.was[row] = run.tags[this.tagNow[block]][0];
        const tag = (this.tagNow[block] = this.readTag());
        run.category[row] = run.tags[tag][0];
        this.hold(run.was[row], -run.size[block]);
        this.hold(run.category[row], run.size[block]);
        run.addRetag(block, {row, tag, step: this.step});
        break;
      }
      case KIND.segmentAlloc:
      case KIND.segmentFree: {
        const grows = run.kind[row] === KIND.segmentAlloc;
        const position = this.readPlace();
        const size = from.size.next();
        run.subject[row] = run.segmentEvents.length;
        const tag = this.readTag();
        run.segmentEvents.push({row, grows, position, size, tag, step: this.step, stream: from.stream.signed()});
        run.enterPhase(row, run.tags[tag][1], this.step);
        this.reserved += grows ? size : -size;
        this.segments.apply(run.segmentEvents.at(-1));
        const since = run.segmentEvents.length - run.segmentMarks.at(-1).next;
        if (since >= Math.max(256, this.segments.pieces.size)) {
          run.segmentMarks.push({next: run.segmentEvents.length, segments: new Segments(this.segments)});
        }
        break;
      }
      case KIND.oom: {
        const size = from.size.next();
        const requested = size - from.slack.signed();
        run.subject[row] = run.ooms.length;
        run.ooms.push({row, size, requested, tag: this.readTag(), step: this.step, stream: from.stream.signed()});
        run.enterPhase(row, run.tags[run.ooms.at(-1).tag][1], this.step);
        break;
      }
      case KIND.marker: {
        const tag = this.readTag();
        run.subject[row] = run.markers.length;
        run.markers.push({row, tag, step: this.step, text: run.texts[run.tags[tag][2]]});
        run.enterPhase(row, run.tags[tag][1], this.step);
        break;
      }
    }
    run.allocated[row] = this.allocated;
    run.reserved[row] = this.reserved;
    run.asked[row] = this.asked;
    if (run.time && row >= run.initial) run.time[row - run.initial] = this.time += from.time.signed();
  }
}
