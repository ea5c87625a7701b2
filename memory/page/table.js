// What is alive at the cursor: every block, or groups of them, sorted and searched.

const PAGE_ROWS = 120;

const BLOCK_COLUMNS = [
  {key: "size", title: "size", number: true},
  {key: "category", title: "held as"},
  {key: "op", title: "op"},
  {key: "module", title: "module"},
  {key: "phase", title: "phase"},
  {key: "step", title: "step", number: true},
  {key: "born", title: "since event", number: true},
  {key: "freed", title: "until event", number: true},
  {key: "unused", title: "rounding", number: true},
];

class AliveTable {
  constructor(page, holder) {
    Object.assign(this, {page, holder, most: PAGE_ROWS});
    const {look} = page;
    this.find = element("input", {type: "search", id: "find", placeholder: "search ( / )", autocomplete: "off"});
    this.find.addEventListener("input", () => look.set({find: this.find.value}));
    this.group = element(
        "select", {id: "group"},
        ...["none", "category", "module", "op"].map(
            (name) => element("option", {value: name}, name === "none" ? "every block" : `by ${name}`)));
    this.group.addEventListener("change", () => look.set({group: this.group.value, sort: "size"}));
    this.summary = element("span", {className: "soft"});
    this.head = element("thead");
    this.body = element("tbody");
    this.more = element("button", {type: "button", hidden: true}, "show more");
    this.more.addEventListener("click", () => {
      this.most *= 4;
      this.draw();
    });
    holder.append(
        element(
            "div", {className: "bar"}, this.find, this.group, runChoice(page), element("span", {className: "grow"}),
            this.summary),
        element("div", {className: "scroll"}, element("table", {id: "alive"}, this.head, this.body)), this.more);
  }

  describe(run, block, row) {
    const [category, phase, op, module] = run.tags[run.tagAt(block, row)];
    const {names, texts} = run;
    return {
      block,
      size: run.size[block],
      category: words(names.categories[category]),
      op: texts[op],
      module: texts[module],
      phase: names.phases[phase],
      step: run.step[block],
      born: run.event(run.born[block]),
      freed: run.freed[block] < run.rows ? run.event(run.freed[block]) : Infinity,
      unused: run.size[block] - run.requested[block],
      slot: category,
    };
  }

  list(index) {
    const run = this.page.runs[index];
    const row = this.page.row(index);
    const wanted = this.page.look.find.trim().toLowerCase();
    let list = run.aliveAt(row).held.map((block) => this.describe(run, block, row));
    if (wanted) {
      list = list.filter(
          (entry) => `${entry.category}\n${entry.op}\n${entry.module}\n${entry.phase}`.toLowerCase().includes(wanted));
    }
    return list;
  }

  sorted(list) {
    const [, key, up] = /^(.*?)(-up)?$/.exec(this.page.look.sort);
    const sign = up ? 1 : -1;
    const value = (entry) => entry[key] ?? 0;
    return list.sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === right) return b.size - a.size;
      return (typeof left === "string" ? -left.localeCompare(right) : left - right) * sign;
    });
  }

  groups(list, other) {
    const by = this.page.look.group;
    const found = new Map();
    const add = (entries, field) => {
      for (const entry of entries) {
        const name = entry[by] || `(no ${by})`;
        if (!found.has(name))
          found.set(name, {name, size: 0, count: 0, other: 0, slot: by === "category" ? entry.slot : -1});
        const group = found.get(name);
        group[field] += entry.size;
        if (field === "size") ++group.count;
      }
    };
    add(list, "size");
    if (other) add(other, "other");
    return [...found.values()].map((group) => ({...group, change: group.other - group.size}));
  }

  draw() {
    const {look, runs} = this.page;
    this.group.value = look.group;
    if (document.activeElement !== this.find) this.find.value = look.find;
    const grouping = look.group !== "none";
    const two = runs.length === 2;
    const shown = grouping && two ? 0 : this.page.chosen();
    const list = this.list(shown);
    const bytes = list.reduce((sum, entry) => sum + entry.size, 0);
    this.summary.textContent = `${grouped(list.length)} blocks, ${bytesText(bytes)}${
        look.find ? " found" : ""} at event ${grouped(runs[shown].event(this.page.row(shown)))}`;
    this.total = bytes;
    if (grouping)
      this.drawGroups(this.sorted(this.groups(list, two ? this.list(1) : null)), two);
    else
      this.drawBlocks(this.sorted(list), bytes);
  }

  heading(columns) {
    const {look} = this.page;
    this.head.replaceChildren(element("tr", {}, ...columns.map(({key, title, number}) => {
      const up = look.sort === `${key}-up`;
      const down = look.sort === key;
      const button = element("button", {type: "button"}, `${title}${up ? " \u25b4" : down ? " \u25be" : ""}`);
      button.addEventListener("click", () => look.set({sort: down ? `${key}-up` : key}));
      return element(
          "th",
          {className: number ? "number" : "",
           ariaSort: up ? "ascending"
               : down   ? "descending"
                        : "none"},
          button);
    })));
  }

  fill(list, make) {
    this.body.replaceChildren(...list.slice(0, this.most).map(make));
    this.more.hidden = list.length <= this.most;
    this.more.textContent = `show more (${grouped(list.length - this.most)} left)`;
  }

  drawBlocks(list, total) {
    this.heading(BLOCK_COLUMNS);
    const names = this.page.runs[0].names.categories;
    const until = (freed) => (freed === Infinity ? "the end" : grouped(freed));
    this.fill(list, (entry) => {
      const made = element(
          "tr", {}, sizeCell(entry.size, total, color(names[entry.slot])),
          nameCell(entry.category, color(names[entry.slot])), element("td", {}, entry.op),
          element("td", {className: "path"}, entry.module), element("td", {}, entry.phase),
          ...[grouped(entry.step), entry.born < 0 ? "before" : grouped(entry.born), until(entry.freed),
              bytesText(entry.unused)]
              .map((text) => element("td", {className: "number"}, text)));
      return made;
    });
  }

  drawGroups(list, two) {
    const names = this.page.runs[0].names.categories;
    const columns = [{key: "size", title: two ? "A" : "size", number: true}];
    if (two) columns.push({key: "other", title: "B", number: true}, {key: "change", title: "B \u2212 A", number: true});
    columns.push({key: "name", title: this.page.look.group}, {key: "count", title: "blocks", number: true});
    this.heading(columns);
    this.fill(list, (group) => element("tr", {}, sizeCell(group.size, this.total, color(group.slot < 0 ? "a" : names[group.slot])),
      ...(two ? [element("td", {className: "number"}, bytesText(group.other)), element("td", {className: "number"}, changeText(group.change))] : []),
      group.slot < 0 ? element("td", {className: "path"}, group.name) : nameCell(group.name, color(names[group.slot])),
      element("td", {className: "number"}, grouped(group.count))));
  }
}

/** A number of bytes over a bar of its share. */
function sizeCell(bytes, total, shade) {
  const bar = element("i");
  bar.style.width = `${total > 0 ? (100 * bytes) / total : 0}%`;
  bar.style.background = shade;
  return element(
      "td", {className: "number size", title: `${grouped(bytes)} bytes`}, bar, element("span", {}, bytesText(bytes)));
}

function nameCell(name, shade) {
  const patch = element("i", {className: "patch"});
  patch.style.background = shade;
  return element("td", {}, patch, name);
}

/** A choice between the two runs, where there are two. */
function runChoice(page) {
  if (page.runs.length === 1) return "";
  const choice = element(
      "select", {className: "run-choice"},
      ...page.runs.map((run, index) => element("option", {value: index}, `${"AB"[index]}: ${run.header.name}`)));
  choice.addEventListener("change", () => page.look.set({run: Number(choice.value)}));
  page.look.listeners.push(() => (choice.value = page.chosen()));
  return choice;
}
