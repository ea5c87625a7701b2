// Plain data (texts, whole numbers, truth values, lists, dictionaries) as a Python pickle of protocol 2.

class Pickle {
  constructor() {
    this.pieces = [];  // full buffers
    this.bytes = new Uint8Array(1 << 16);
    this.used = 0;
    this.encoder = new TextEncoder();
    this.references = 0;
    this.texts = new Map();
    this.put(0x80, 2);
  }

  room(count) {
    if (this.used + count <= this.bytes.length) return;
    this.pieces.push(new Blob([this.bytes.subarray(0, this.used)]));
    this.bytes = new Uint8Array(Math.max(1 << 16, count));
    this.used = 0;
  }
  put(...bytes) {
    this.room(bytes.length);
    for (const byte of bytes) this.bytes[this.used++] = byte;
  }
  /** An opcode and a number of `count` bytes, the lowest first. */
  fixed(opcode, value, count) {
    this.room(count + 1);
    this.bytes[this.used++] = opcode;
    for (let i = 0; i < count; ++i) {
      const byte = ((value % 256) + 256) % 256;
      this.bytes[this.used++] = byte;
      value = (value - byte) / 256;
    }
  }

  number(value) {
    if (value >= 0 && value < 256)
      this.fixed(0x4b, value, 1);
    else if (value >= 0 && value < 65536)
      this.fixed(0x4d, value, 2);
    else if (value >= -(2 ** 31) && value < 2 ** 31)
      this.fixed(0x4a, value, 4);
    else {
      this.put(0x8a);
      this.fixed(8, value, 8);
    }
  }
  boolean(value) {
    this.put(value ? 0x88 : 0x89);
  }
  /** Texts that come again are referred to. */
  text(value) {
    const known = this.texts.get(value);
    if (known !== undefined) return this.again(known);
    const bytes = this.encoder.encode(value);
    this.fixed(0x58, bytes.length, 4);
    this.room(bytes.length);
    this.bytes.set(bytes, this.used);
    this.used += bytes.length;
    this.texts.set(value, this.remember());
  }
  pair(first, second) {
    this.number(first);
    this.number(second);
    this.put(0x86);
  }

  beginDictionary() {
    this.put(0x7d, 0x28);
  }
  endDictionary() {
    this.put(0x75);
  }
  beginList() {
    this.put(0x5d, 0x28);
  }
  endList() {
    this.put(0x65);
  }
  /** Now and then between elements of a list, so that readers need no deep stack. */
  nextBatch() {
    this.put(0x65, 0x28);
  }

  remember() {
    const reference = this.references++;
    this.fixed(reference < 256 ? 0x71 : 0x72, reference, reference < 256 ? 1 : 4);
    return reference;
  }
  again(reference) {
    this.fixed(reference < 256 ? 0x68 : 0x6a, reference, reference < 256 ? 1 : 4);
  }

  /** The whole, in pieces. */
  finish() {
    this.put(0x2e);
    return [...this.pieces, this.bytes.subarray(0, this.used)];
  }
}
