// A run in Chrome's trace format, for ui.perfetto.dev: what memory/chrome_trace.cpp writes, from the page's data.

class Trace {
  constructor(run) {
    Object.assign(
        this, {run, draft: new Draft(), lines: 0, time: 0, phase: null, names: new Map(), counters: new Map()});
    this.sums = run.names.categories.map(() => 0);
    for (const name of run.names.categories) this.counters.set(name, 0);
  }

  line(fields) {
    this.draft.add(`${this.lines++ > 0 ? ',' : ''}\n{"pid":1,"ts":${this.time},${JSON.stringify(fields).slice(1)}`);
  }

  async pieces() {
    const {run} = this;
    this.writeHead();
    const {held} = run.rows > 0 && run.initial > 0 ? run.aliveAt(run.initial - 1) : {held: []};
    for (const block of held) this.sums[run.tags[run.tag[block]][0]] += run.size[block];
    this.writeTotals(run.initial - 1);
    for (const block of held.sort((a, b) => run.position[a] - run.position[b])) this.beginBlock(block);
    for (let row = run.initial; row < run.rows; ++row) {
      if (row % 256 === 0) await this.draft.pause();
      this.time = run.time ? run.time[row - run.initial] : row - run.initial;
      this.writeEvent(row);
      this.writeTotals(row);
      if (run.event(row) === run.header.peak.event) this.instant('peak', 0, row);
    }
    ++this.time;  // what is alive at the end is so until after the last event
    for (const block of run.aliveAt(run.rows - 1).held.sort((a, b) => run.position[a] - run.position[b]))
      this.endBlock(block);
    if (this.phase) this.line({ph: 'E', tid: 0});
    this.draft.add('\n]}\n');
    return this.draft.finish();
  }

  writeHead() {
    const {header} = this.run;
    const about = {
      device: header.device,
      capacity: String(header.capacity),
      allocator: header.allocator,
      time: header.timed ? 'microseconds' : 'events'
    };
    for (const [key, value] of header.metadata) about[`given: ${key}`] = value;
    this.draft.add(`{"displayTimeUnit":"ms","otherData":${JSON.stringify(about)},"traceEvents":[`);
    this.line({ph: 'M', name: 'process_name', args: {name: `memory of ${header.device}`}});
    this.line({ph: 'M', tid: 0, name: 'thread_name', args: {name: 'phases and markers'}});
  }

  counter(name, bytes) {
    if (this.counters.get(name) === bytes) return;
    this.counters.set(name, bytes);
    this.line({ph: 'C', name, args: {bytes}});
  }
  writeTotals(row) {
    const {run} = this;
    this.counter('allocated', row < 0 ? 0 : run.allocated[row]);
    this.counter('reserved', row < 0 ? 0 : run.reserved[row]);
    run.names.categories.forEach((name, i) => this.counter(name, this.sums[i]));
  }

  instant(name, bytes, row) {
    const {allocated, reserved} = this.run;
    this.line({ph: 'i', s: 'g', tid: 0, name, args: {bytes, allocated: allocated[row], reserved: reserved[row]}});
  }

  enterPhase(tag, step) {
    const {run} = this;
    const phase = run.tags[tag][1];
    if (this.phase && this.phase.phase === phase && this.phase.step === step) return;
    if (this.phase) this.line({ph: 'E', tid: 0});
    this.phase = {phase, step};
    this.line({ph: 'B', tid: 0, name: run.names.phases[phase], args: {step}});
  }

  /** Slices of blocks share the position as their number: no two of them are alive at once. */
  slice(ph, block, more = {}) {
    const id = `0x${this.run.position[block].toString(16)}`;
    this.line({ph, cat: 'block', id, tid: 1, name: this.names.get(block), ...more});
  }
  beginBlock(block) {
    const {run} = this;
    const [category, phase, op, module] = run.tags[run.tag[block]];
    this.names.set(block, run.texts[op] || run.names.categories[category]);
    this.slice('b', block, {
      args: {
        bytes: run.size[block],
        requested: run.requested[block],
        category: run.names.categories[category],
        module: run.texts[module],
        phase: run.names.phases[phase],
        step: run.step[block],
        stream: run.stream[block]
      }
    });
  }
  endBlock(block) {
    this.slice('e', block);
    this.names.delete(block);
  }

  writeEvent(row) {
    const {run} = this;
    const subject = run.subject[row];
    const size = run.size[subject];
    switch (run.kind[row]) {
      case KIND.alloc:
        this.sums[run.category[row]] += size;
        this.enterPhase(run.tag[subject], run.step[subject]);
        this.beginBlock(subject);
        break;
      case KIND.freeRequested:
        this.sums[run.category[row]] -= size;
        this.endBlock(subject);
        break;
      case KIND.retag: {
        this.sums[run.was[row]] -= size;
        this.sums[run.category[row]] += size;
        const op = run.texts[run.tags[run.tagAt(subject, row)][2]];
        const [category, was] = [run.category[row], run.was[row]].map((number) => run.names.categories[number]);
        this.slice('n', subject, {args: {category, was, op}});
        break;
      }
      case KIND.oom:
        this.instant('out of memory', run.ooms[subject].requested, row);
        break;
      case KIND.marker: {
        const {tag, step, text} = run.markers[subject];
        this.enterPhase(tag, step);
        this.instant(text, 0, row);
        break;
      }
    }
  }
}
