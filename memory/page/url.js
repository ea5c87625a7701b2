// What is being looked at, kept in the address: a link leads to the same moment and view.

const DEFAULTS = {
  t: null,
  view: "alive",
  from: null,
  to: null,
  run: 0,
  solo: "",
  group: "none",
  form: "table",
  sort: "size",
  find: "",
  align: "phase",
  axis: "event",
  scale: "each",
  scales: "same"
};

class Look {
  constructor() {
    Object.assign(this, DEFAULTS);
    this.hover = null;  // where the mouse is; not part of the address
    this.listeners = [];
    this.pending = new Set();
  }

  read() {
    const given = new URLSearchParams(window.location.hash.slice(1));
    for (const key of Object.keys(DEFAULTS)) {
      const text = given.get(key);
      if (text === null)
        this[key] = DEFAULTS[key];
      else if (["t", "from", "to", "run"].includes(key))
        this[key] = Number.isFinite(Number(text)) ? Number(text) : DEFAULTS[key];
      else
        this[key] = text;
    }
  }

  write() {
    const given = new URLSearchParams();
    for (const [key, usual] of Object.entries(DEFAULTS)) {
      if (this[key] !== usual)
        given.set(key, typeof this[key] === "number" ? this.numberText(key) : this[key]);
    }
    const hash = given.toString();
    if (hash === window.location.hash.slice(1)) return;
    window.history.replaceState(null, "", hash ? `#${hash}` : window.location.pathname + window.location.search);
  }

  /** Places between events are those of a second run, or of time; rounded up, so that they lead back behind the event. */
  numberText(key) {
    const whole = key !== "t" && this.axis !== "time";
    return String(whole ? Math.round(this[key]) : Math.ceil(this[key] * 1e6) / 1e6);
  }

  /** Takes new values and has everything drawn anew that depends on them, once, before the next frame. */
  set(values) {
    const changed = Object.keys(values).filter((key) => this[key] !== values[key]);
    if (changed.length === 0) return;
    Object.assign(this, values);
    this.touch(...changed);
  }
  touch(...keys) {
    if (this.pending.size === 0) requestAnimationFrame(() => this.flush());
    for (const key of keys) this.pending.add(key);
  }
  flush() {
    const changed = new Set(this.pending);
    this.pending.clear();
    for (const listener of this.listeners) listener(changed);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write(), 150);
  }
}
