// The table of layers: the one that was given with the run, else what every module held at the peak and its largest
// workspace.

const LAYER_CATEGORIES =
    ["parameter", "gradient", "optimizer_state", "saved_activation", "live_activation", "temporary"];

const NUMBER_TEXT = /^[\d,]+( B)?$/;  // how a table that was given writes numbers, and bytes

class Layers {
  constructor(page, holder) {
    Object.assign(this, {page, holder, drawn: -1, sort: -1, up: false});
    this.head = element("thead");
    this.body = element("tbody");
    this.note = element("span", {className: "soft"});
    holder.append(
        element("div", {className: "bar"}, this.note, element("span", {className: "grow"}), runChoice(page)),
        element("div", {className: "scroll"}, element("table", {id: "layers"}, this.head, this.body)));
  }

  draw() {
    const index = this.page.chosen();
    if (this.drawn === index) return;
    this.drawn = index;
    const run = this.page.runs[index];
    if (run.header.layers.columns.length > 0)
      this.drawGiven(run);
    else
      this.drawOwn(run);
  }

  drawGiven(run) {
    const {columns, rows} = run.header.layers;
    const number = (text) => Number(text.replace(/[^0-9]/g, ""));
    const numeric = columns.map((_, i) => rows.some((row) => row[i] !== "") &&
                                    rows.every((row) => row[i] === "" || NUMBER_TEXT.test(row[i])));
    const most = columns.map((_, i) => (numeric[i] ? Math.max(...rows.map((row) => number(row[i]))) : 0));
    this.note.textContent = `${grouped(rows.length)} layers and ops, at the peak of allocated (event ${
        grouped(run.header.peak.event)}, ${bytesText(run.header.peak.bytes)}) and in its step`;
    this.head.replaceChildren(element("tr", {}, ...columns.map((title, i) => {
      const button = element("button", {type: "button"}, title + (this.sort === i ? (this.up ? " \u25b4" : " \u25be") : ""));
      button.addEventListener("click", () => {
        [this.sort, this.up] = [i, this.sort === i && !this.up];
        this.drawGiven(run);
      });
      return element("th", {className: numeric[i] ? "number" : ""}, button);
    })));
    const compare = (a, b) => {
      const [left, right] = [a[this.sort], b[this.sort]];
      return (numeric[this.sort] ? number(right) - number(left) : left.localeCompare(right)) * (this.up ? -1 : 1);
    };
    const sorted = this.sort < 0 ? rows : [...rows].sort(compare);
    this.body.replaceChildren(...sorted.slice(0, 2000).map((row) => element("tr", {}, ...row.map((text, i) => {
      if (!numeric[i]) return element("td", {className: columns[i] === "module" ? "path" : ""}, text);
      if (!text.endsWith(" B")) return element("td", {className: "number"}, text);
      return sizeCell(number(text), most[i], color("a"));
    }))));
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
