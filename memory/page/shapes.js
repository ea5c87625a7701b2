// The shapes of blocks: what the markers "output OP SHAPE DTYPE" of a layer say about the blocks of just that size.

const ELEMENT_BYTES = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  float16: 2,
  bfloat16: 2,
  uint8: 1,
  bool: 1
};

class Shapes {
  constructor(run) {
    this.run = run;
    this.notes = new Map();  // "module\nop" -> requested bytes -> text
    for (const {tag, text} of run.markers) {
      const note = /^output (\S+) \(([\d, ]*)\) (\w+)$/.exec(text);
      if (!note || !(note[3] in ELEMENT_BYTES)) continue;
      const bytes = note[2].split(',').reduce(
          (product, size) => product * (size.trim() ? Number(size) : 1), ELEMENT_BYTES[note[3]]);
      const key = `${run.texts[run.tags[tag][3]]}\n${note[1]}`;
      if (!this.notes.has(key)) this.notes.set(key, new Map());
      this.notes.get(key).set(bytes, `(${note[2]}) ${note[3]}`);
    }
  }

  /** Of what the block's maker said; "" where it said nothing. */
  of(block) {
    const {run} = this;
    const [, , op, module] = run.tags[run.tag[block]];
    return this.notes.get(`${run.texts[module]}\n${run.texts[op]}`)?.get(run.requested[block]) ?? '';
  }
}
