// The difference of two runs as a waterfall: from A through every part to B, and nothing left over.

/** A sum as it was given, by its parts in every layer, and before it the same with one part for each cause. */
function byCause(sum) {
  const causes = new Map();
  for (const {label, bytes} of sum.parts) {
    const cause = causes.get(label) ?? {label, bytes: 0, where: "", count: 0};
    causes.set(label, {...cause, bytes: cause.bytes + bytes, count: cause.count + 1});
  }
  if (causes.size === sum.parts.length) return [sum];
  const parts = [...causes.values()].map((cause) => ({...cause, evidence: cause.count > 1 ? `in ${grouped(cause.count)} places` : ""}));
  parts.sort((a, b) => Math.abs(b.bytes) - Math.abs(a.bytes));
  return [{...sum, title: `${sum.title}, by cause`, parts}, {...sum, title: `${sum.title}, by cause and layer`}];
}

class Difference {
  constructor(page, holder) {
    Object.assign(this, {page, holder});
    this.sums = [...page.text.sums.flatMap(byCause), ...(page.runs.length === 2 ? this.ownSums() : [])];
    this.choice =
        element("select", {id: "sum"}, ...this.sums.map((sum, index) => element("option", {value: index}, sum.title)));
    this.choice.addEventListener("change", () => this.drawSum());
    this.body = element("div", {id: "waterfall"});
    if (this.sums.length === 0)
      holder.append(element(
          "p", {className: "soft"},
          "There is one run here. Give two recordings to see where the difference comes from."));
    else
      holder.append(element("div", {className: "bar"}, this.choice), this.body);
  }

  /** What the events alone tell: the two moments by category and by module. */
  ownSums() {
    const [a, b] = this.page.runs;
    const moment = (run, peak) => Math.max(0, run.header[peak].event + run.initial);
    const parts =
        (left,
         right) => [...new Set([...left.keys(), ...right.keys()])]
                       .map((label) => ({
                              label,
                              bytes: (right.get(label) ?? 0) - (left.get(label) ?? 0),
                              where: "",
                              evidence:
                                  `${bytesText(left.get(label) ?? 0)} in A, ${bytesText(right.get(label) ?? 0)} in B`
                            }))
                       .filter((part) => part.bytes !== 0)
                       .sort((x, y) => Math.abs(y.bytes) - Math.abs(x.bytes));
    const sum = (title, peak, of) => ({
      title,
      from: a.header[peak].bytes,
      to: b.header[peak].bytes,
      parts: parts(of(a, moment(a, peak)), of(b, moment(b, peak)))
    });
    const byCategory = (run, row) =>
        new Map(run.rows ? run.categoriesAt(row).map((bytes, i) => [words(run.names.categories[i]), bytes]) : []);
    const byModule = (run, row) => {
      const totals = new Map();
      for (const block of run.aliveAt(row).held) {
        const module = run.texts[run.tags[run.tagAt(block, row)][3]] || "(no module)";
        totals.set(module, (totals.get(module) ?? 0) + run.size[block]);
      }
      return totals;
    };
    const withCached = (run, row) =>
        byCategory(run, row).set("cached, not allocated", run.rows ? run.reserved[row] - run.allocated[row] : 0);
    return [
      sum("peak allocated, by category", "peak", byCategory), sum("peak allocated, by module", "peak", byModule),
      sum("peak reserved, by category", "peak_reserved", withCached)
    ];
  }

  draw() {
    if (this.sums.length > 0 && this.body.childElementCount === 0) this.drawSum();
  }

  drawSum() {
    const sum = this.sums[Number(this.choice.value) || 0];
    const steps = [{label: "A", from: 0, to: sum.from, total: true}];
    let at = sum.from;
    const shown = sum.parts.length > 24 ? sum.parts.slice(0, 23) : sum.parts;
    const rest = sum.parts.slice(shown.length);
    const parts = rest.length ? [...shown, {label: `${rest.length} smaller ones`, where: "", evidence: "", bytes: rest.reduce((total, part) => total + part.bytes, 0)}] : shown;
    for (const part of parts) steps.push({...part, from: at, to: (at += part.bytes)});
    steps.push({label: "B", from: 0, to: sum.to, total: true});
    const most = Math.max(1, ...steps.flatMap(({from, to}) => [from, to]));
    const least = Math.min(0, ...steps.flatMap(({from, to}) => [from, to]));
    const percent = (value) => (100 * (value - least)) / (most - least);
    this.body.replaceChildren(
        ...steps.map((step) => this.row(step, percent)),
        element(
            "p", {id: "sum-check", className: "soft"},
            `B \u2212 A = ${changeText(sum.to - sum.from)} = the sum of ${
                grouped(sum.parts.length)} parts; unexplained ${bytesText(sum.to - at)}`));
  }

  row(step, percent) {
    const bar = element(
        "i",
        {className: step.total     ? (step.label === "A" ? "total-a" : "total-b")
             : step.to > step.from ? "more"
                                   : "less"});
    bar.style.left = `${percent(Math.min(step.from, step.to))}%`;
    bar.style.width =
        `${Math.max(0.2, percent(Math.max(step.from, step.to)) - percent(Math.min(step.from, step.to)))}%`;
    const name = step.total ? `${step.label}: ${this.page.runs["AB".indexOf(step.label)]?.header.name ?? ""}`
                            : [step.label, step.where].filter(Boolean).join(", ");
    return element(
        "div", {className: "fall", title: step.evidence ?? ""}, element("span", {className: "fall-name"}, name),
        element("span", {className: "fall-bar"}, bar),
        element("span", {className: "number"}, step.total ? bytesText(step.to) : changeText(step.bytes)),
        element("span", {className: "soft fall-evidence"}, step.evidence ?? ""));
  }
}
