// The table of layers: the one that was given, else what every module held at the peak and its largest workspace.

const LAYER_CATEGORIES =
    ["parameter", "gradient", "optimizer_state", "saved_activation", "live_activation", "temporary"];

class Layers {
  constructor(page, holder) {
    Object.assign(this, {page, holder, drawn: -1});
    this.head = element("thead");
    this.body = element("tbody");
    this.given = page.text.layers.columns.length > 0;
    this.note = element("span", {className: "soft"});
    holder.append(
        element(
            "div", {className: "bar"}, this.note, element("span", {className: "grow"}),
            this.given ? "" : runChoice(page)),
        element("div", {className: "scroll"}, element("table", {id: "layers"}, this.head, this.body)));
  }

  draw() {
    if (this.drawn === this.page.chosen()) return;
    this.drawn = this.page.chosen();
    if (this.given)
      this.drawGiven();
    else
      this.drawOwn(this.page.runs[this.drawn]);
  }

  drawGiven() {
    const {columns, rows} = this.page.text.layers;
    const numeric =
        columns.map((_, i) => rows.every((row) => /^[-+\u2212\u00b1]?[\d.,]*( ?[KMGT]?i?B)?$/.test(row[i])));
    const cell = (tag) => (text, i) => element(tag, {className: numeric[i] ? "number" : ""}, text);
    this.head.replaceChildren(element("tr", {}, ...columns.map(cell("th"))));
    this.body.replaceChildren(...rows.map((row) => element("tr", {}, ...row.map(cell("td")))));
  }

  drawOwn(run) {
    const slots = LAYER_CATEGORIES.map((name) => run.names.categories.indexOf(name));
    const workspace = run.names.categories.indexOf("workspace");
    const layers = new Map();
    const layer = (tag) => {
      const [, , op, module] = run.tags[tag];
      const name = run.texts[module];
      if (!layers.has(name)) layers.set(name, {name, ops: new Set(), sums: slots.map(() => 0), workspace: 0, total: 0});
      if (run.texts[op]) layers.get(name).ops.add(run.texts[op]);
      return layers.get(name);
    };
    const row = Math.max(0, run.header.peak.event + run.initial);
    if (run.rows > 0) {
      for (const block of run.aliveAt(row).held) {
        const tag = run.tagAt(block, row);
        const entry = layer(tag);
        entry.total += run.size[block];
        const slot = slots.indexOf(run.tags[tag][0]);
        if (slot >= 0) entry.sums[slot] += run.size[block];
      }
    }
    for (let block = 0; block < run.blocks; ++block) {
      if (run.tags[run.tag[block]][0] !== workspace) continue;
      const entry = layer(run.tag[block]);
      entry.workspace = Math.max(entry.workspace, run.size[block]);
    }
    const list = [...layers.values()].sort((a, b) => b.total - a.total || b.workspace - a.workspace);
    this.note.textContent = `What each module holds at the peak of allocated (event ${
        grouped(run.header.peak.event)}), and its largest workspace at any time`;
    const number = (text) => element("td", {className: "number"}, text);
    const some = (bytes) => number(bytes > 0 ? bytesText(bytes) : "");
    this.head.replaceChildren(element(
        "tr", {}, element("th", {}, "module"), element("th", {}, "ops"),
        ...[...LAYER_CATEGORIES.map(words), "all at the peak", "largest workspace"].map(
            (title) => element("th", {className: "number"}, title))));
    this.body.replaceChildren(...list.slice(0, 2000).map(
        (entry) => element(
            "tr", {}, element("td", {className: "path"}, entry.name || "(no module)"),
            element("td", {className: "ops"}, [...entry.ops].slice(0, 4).join(", ")), ...entry.sums.map(some),
            sizeCell(entry.total, run.header.peak.bytes, color("a")), some(entry.workspace))));
  }
}
