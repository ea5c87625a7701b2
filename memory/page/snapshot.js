// A run as a memory snapshot for pytorch.org/memory_viz: what memory/memory_viz.cpp writes, from the page's data.

const BASE_ADDRESS = 0x700000000000;
const BATCH = 1000;
const SMALL = {
  block: 2 ** 20,
  segment: 2 ** 21
};

class Snapshot {
  constructor(run) {
    Object.assign(this, {run, out: new Pickle(), frames: new Map(), breath: new Breath()});
  }

  entry(name, value) {
    this.out.text(name);
    if (typeof value === 'string')
      this.out.text(value);
    else if (typeof value === 'boolean')
      this.out.boolean(value);
    else
      this.out.number(value);
  }
  dictionary(entries) {
    this.out.beginDictionary();
    for (const [name, value] of Object.entries(entries)) this.entry(name, value);
    this.out.endDictionary();
  }
  emptyList(name) {
    this.out.text(name);
    this.out.beginList();
    this.out.endList();
  }

  async pieces() {
    const {run, out} = this;
    const lives = await joinedSegments(run, this.breath);
    this.expandable = lives.expandable || run.header.allocator.includes('expandable_segments:True');
    out.beginDictionary();
    out.text('segments');
    await this.writeSegments(lives.segments);
    out.text('device_traces');
    out.beginList();
    await this.writeTrace();
    out.endList();
    out.text('allocator_settings');
    this.dictionary({PYTORCH_CUDA_ALLOC_CONF: run.header.allocator});
    out.text('mnemo');
    this.dictionary({device: run.header.device, capacity: run.header.capacity, timed: run.header.timed});
    out.endDictionary();
    return out.finish();
  }

  /** Frames that were written already are referred to. */
  writeFrames(tag, step) {
    const {run, out} = this;
    const [, phase, op, module] = run.tags[tag];
    const key = `${phase} ${op} ${module} ${step}`;
    const known = this.frames.get(key);
    out.text('frames');
    if (known !== undefined) return out.again(known);
    out.beginList();
    this.dictionary({name: run.texts[op] || '(no op)', filename: run.texts[module] || '(no module)', line: 0});
    this.dictionary({name: run.names.phases[phase], filename: `step ${step}`, line: 0});
    out.endList();
    this.frames.set(key, out.remember());
  }

  writeBlock(begin, size, block) {
    const {run, out} = this;
    const last = run.rows - 1;
    const state = block === null ? 'inactive' : run.freed[block] > last ? 'active_allocated' : 'active_pending_free';
    out.beginDictionary();
    this.entry('address', BASE_ADDRESS + begin);
    this.entry('size', size);
    this.entry('requested_size', block === null ? 0 : run.requested[block]);
    this.entry('state', state);
    if (block === null)
      this.emptyList('frames');
    else
      this.writeFrames(run.tagAt(block, last), run.stepAt(block, last));
    out.endDictionary();
  }

  async writeSegments(segments) {
    const {run, out, breath} = this;
    const {held, waiting} = run.aliveAt(run.rows - 1);
    const waits = new Set(waiting);
    const blocks = held.concat(waiting).sort((a, b) => run.position[a] - run.position[b]);
    let next = 0;
    out.beginList();
    for (const [count, {begin, end, stream}] of segments.entries()) {
      if (count > 0 && count % BATCH === 0) out.nextBatch();
      if (breath.due()) await breath.take();
      const inside = [];
      for (; next < blocks.length && run.position[blocks[next]] < end; ++next) inside.push(blocks[next]);
      const sum = (list, field) => list.reduce((total, block) => total + run[field][block], 0);
      const largest = inside.reduce((most, block) => Math.max(most, run.size[block]), 0);
      const small = largest <= SMALL.block && (end - begin === SMALL.segment || (this.expandable && largest > 0));
      out.beginDictionary();
      this.entry('device', 0);
      this.entry('address', BASE_ADDRESS + begin);
      this.entry('total_size', end - begin);
      this.entry('allocated_size', sum(inside.filter((block) => !waits.has(block)), 'size'));
      this.entry('active_size', sum(inside, 'size'));
      this.entry('requested_size', sum(inside, 'requested'));
      this.entry('stream', stream);
      this.entry('segment_type', small ? 'small' : 'large');
      out.text('segment_pool_id');
      out.pair(0, 0);
      this.entry('is_expandable', this.expandable);
      this.emptyList('frames');
      out.text('blocks');
      out.beginList();
      let at = begin;
      for (const [index, block] of inside.entries()) {
        if (index > 0 && index % BATCH === 0) out.nextBatch();
        if (at < run.position[block]) this.writeBlock(at, run.position[block] - at, null);
        this.writeBlock(run.position[block], run.size[block], block);
        at = run.position[block] + run.size[block];
      }
      if (at < end) this.writeBlock(at, end - at, null);
      out.endList();
      out.endDictionary();
    }
    out.endList();
  }

  async writeTrace() {
    const {run, out, breath} = this;
    out.beginList();
    // With categories but none of them "unknown" a misspelt name in the viewer keeps the file from opening.
    out.beginDictionary();
    this.entry('action', 'snapshot');
    for (const field of ['addr', 'size', 'stream', 'time_us']) this.entry(field, 0);
    this.emptyList('frames');
    this.entry('category', 'unknown');
    out.endDictionary();
    let count = 1;
    for (let row = run.initial; row < run.rows; ++row) {
      if (run.kind[row] === KIND.retag || run.kind[row] === KIND.marker) continue;
      if (++count % BATCH === 0) {
        out.nextBatch();
        if (breath.due()) await breath.take();
      }
      this.writeEvent(row);
    }
    out.endList();
  }

  writeEvent(row) {
    const {run, out} = this;
    const kind = run.kind[row];
    const subject = run.subject[row];
    const time = run.time ? run.time[row - run.initial] : row - run.initial;
    const ofSegment = kind === KIND.segmentAlloc || kind === KIND.segmentFree;
    out.beginDictionary();
    if (kind === KIND.oom) {
      const {size, stream, tag, step} = run.ooms[subject];
      this.entry('action', 'oom');
      this.entry('device_free', Math.max(0, run.header.capacity - run.reserved[row]));
      this.entry('size', size);
      this.entry('stream', stream);
      this.entry('time_us', time);
      this.writeFrames(tag, step);
    } else if (ofSegment) {
      const {position, size, stream, tag, step} = run.segmentEvents[subject];
      const names = this.expandable ? ['segment_map', 'segment_unmap'] : ['segment_alloc', 'segment_free'];
      this.entry('action', names[kind - KIND.segmentAlloc]);
      this.entry('addr', BASE_ADDRESS + position);
      this.entry('size', size);
      this.entry('stream', stream);
      this.entry('time_us', time);
      this.writeFrames(tag, step);
    } else {
      const tag = run.tagAt(subject, row);
      this.entry('action', ['alloc', 'free_requested', 'free_completed'][kind]);
      this.entry('addr', BASE_ADDRESS + run.position[subject]);
      this.entry('size', run.requested[subject]);
      this.entry('stream', run.stream[subject]);
      this.entry('time_us', time);
      this.writeFrames(tag, run.stepAt(subject, row));
      // An allocation has the colour of what its block was held for last.
      const shown = kind === KIND.alloc ? run.tagAt(subject, run.rows) : tag;
      this.entry('category', run.names.categories[run.tags[shown][0]]);
    }
    out.endDictionary();
  }
}

/** The segments at the end, pieces that were mapped one by one joined where a block or an unmapping spanned them. */
async function joinedSegments(run, breath) {
  const begins = new Map();  // position -> segment
  const ends = new Map();    // where a segment ends -> segment
  let expandable = false;
  const add = (segment) => {
    begins.set(segment.begin, segment);
    ends.set(segment.end, segment);
  };
  const remove = (segment) => {
    begins.delete(segment.begin);
    ends.delete(segment.end);
  };
  const around = (position) => {
    const direct = begins.get(position);
    if (direct) return direct;
    for (const segment of begins.values()) {
      if (segment.begin <= position && position < segment.end) return segment;
    }
    return null;
  };
  /** The segment that spans all of it. */
  const spanning = (position, end) => {
    const segment = around(position);
    while (segment.end < end) {
      const next = begins.get(segment.end);
      remove(next);
      remove(segment);
      segment.end = next.end;
      add(segment);
      expandable = true;
    }
    return segment;
  };
  for (let row = 0; row < run.rows; ++row) {
    if (row % 1024 === 0 && breath.due()) await breath.take();
    const kind = run.kind[row];
    if (kind === KIND.segmentAlloc) {
      const {position, size, stream} = run.segmentEvents[run.subject[row]];
      add({begin: position, end: position + size, stream});
    } else if (kind === KIND.segmentFree) {
      const {position, size} = run.segmentEvents[run.subject[row]];
      const {begin, end, stream} = spanning(position, position + size);
      remove(begins.get(begin));
      if (begin < position) add({begin, end: position, stream});
      if (position + size < end) add({begin: position + size, end, stream});
      if (begin < position || position + size < end) expandable = true;
    } else if (kind === KIND.alloc) {
      const block = run.subject[row];
      spanning(run.position[block], run.position[block] + run.size[block]);
    }
  }
  return {segments: [...begins.values()].sort((a, b) => a.begin - b.begin), expandable};
}
