// The sums at the cursor. Every category is added up anew from the blocks that are alive there, and held against the
// totals that follow from the events: the difference is what nobody could explain.

class Balance {
  constructor(page, table) {
    Object.assign(this, {page, table});
  }

  /** The parts and what they leave unexplained. */
  of(index) {
    const run = this.page.runs[index];
    const row = this.page.row(index);
    const {held, waiting} = run.aliveAt(row);
    const parts = run.names.categories.map(() => 0);
    for (const block of held) parts[run.tags[run.tagAt(block, row)][0]] += run.size[block];
    const sum = parts.reduce((total, bytes) => total + bytes, 0);
    const segments = run.segmentsAt(row).reduce((total, {begin, end}) => total + end - begin, 0);
    const waits = waiting.reduce((total, block) => total + run.size[block], 0);
    const cached = segments - sum;
    return {
      parts,
      sum,
      cached,
      waits,
      allocated: run.allocated[row],
      reserved: run.reserved[row],
      unexplained: Math.abs(run.allocated[row] - sum) + Math.abs(run.reserved[row] - run.allocated[row] - cached)
    };
  }

  draw() {
    const {page, table} = this;
    const names = page.runs[0].names.categories;
    const heads = ["", ...names.map(words), "=\u00a0allocated", "+\u00a0cached", "=\u00a0reserved", "unexplained"];
    const rows = page.runs.map((run, index) => {
      const balance = this.of(index);
      const label = element(
          "th", {}, page.runs.length > 1 ? element("b", {className: `run-${"ab"[index]}`}, "AB"[index]) : "",
          ` event ${grouped(run.event(page.row(index)))}`);
      const cells = [...balance.parts, balance.allocated, balance.cached, balance.reserved].map(
          (bytes, i) => element(
              "td", {
                className:
                    `number${i >= names.length && i !== names.length + 1 ? " total" : ""}${bytes === 0 ? " soft" : ""}`,
                title: `${grouped(bytes)} bytes`
              },
              bytes === 0 ? "0" : bytesText(bytes)));
      if (balance.waits > 0)
        cells[names.length + 1].append(element("small", {}, ` (${bytesText(balance.waits)} wait for streams)`));
      cells.push(element(
          "td", {className: balance.unexplained === 0 ? "number fine" : "number alarm"},
          bytesText(balance.unexplained)));
      return element("tr", {}, label, ...cells);
    });
    table.replaceChildren(
        element("tr", {}, ...heads.map((head) => element("th", {className: "number"}, head))), ...rows);
  }

  /** Whether replaying the events ended where the ledger did. */
  mismatches() {
    const wrong = [];
    const compare = (name, what, mine, ledgers) => {
      if (mine !== ledgers) wrong.push(`${name}: ${what} is ${grouped(mine)} here, ${grouped(ledgers)} in the ledger`);
    };
    for (const run of this.page.runs) {
      const {peak, peak_reserved: reserved, end, name} = run.header;
      const last = run.rows - 1;
      if (last < 0) continue;
      compare(name, "allocated at the end", run.allocated[last], end.allocated);
      compare(name, "reserved at the end", run.reserved[last], end.reserved);
      run.categoriesAt(last).forEach(
          (bytes, i) => compare(name, `${run.names.categories[i]} at the end`, bytes, end.categories[i]));
      for (const [moment, values] of [[peak, run.allocated], [reserved, run.reserved]]) {
        const row = moment.event + run.initial;
        if (row < 0) continue;
        compare(name, `the peak at event ${moment.event}`, values[row], moment.bytes);
        run.categoriesAt(row).forEach(
            (bytes, i) =>
                compare(name, `${run.names.categories[i]} at event ${moment.event}`, bytes, moment.categories[i]));
      }
    }
    return wrong;
  }
}
