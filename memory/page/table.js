// What is alive at the cursor: every block, or groups of them, sorted and searched; of two runs with the difference.

const PAGE_ROWS = 120;

const SIZE_COLUMN = [{key: 'size', title: 'size', number: true}];
const SIZE_COLUMNS_OF_TWO = [
  {key: 'size', title: 'A', number: true},
  {key: 'other', title: 'B', number: true},
  {key: 'change', title: 'B \u2212 A', number: true},
];
const BLOCK_COLUMNS = [
  {key: 'category', title: 'held as'},
  {key: 'op', title: 'op'},
  {key: 'module', title: 'module'},
  {key: 'shape', title: 'output'},
  {key: 'phase', title: 'phase'},
  {key: 'step', title: 'step', number: true},
  {key: 'born', title: 'since event', number: true},
  {key: 'freed', title: 'until event', number: true},
  {key: 'unused', title: 'rounding', number: true},
];

function groupName(entry, by) {
  if (by === 'shape') return entry.shape || `${grouped(entry.requested)} B`;
  return entry[by] || `(no ${by})`;
}

/** "conv2d of encoder.0" */
function placeName({op, module}) {
  return op && module ? `${op} of ${module}` : op || module;
}

class AliveTable {
  constructor(page, holder) {
    Object.assign(this, {page, holder, most: PAGE_ROWS, two: page.runs.length === 2});
    const {look} = page;
    this.find = element('input', {type: 'search', id: 'find', placeholder: 'search ( / )', autocomplete: 'off'});
    this.find.addEventListener('input', () => look.set({find: this.find.value}));
    this.group = element(
        'select', {id: 'group'},
        ...['none', 'category', 'module', 'op', 'shape'].map(
            (name) => element(
                'option', {value: name},
                name === 'none'       ? 'every block' :
                    name === 'module' ? 'by layer' :
                                        `by ${name}`)));
    this.group.addEventListener('change', () => look.set({group: this.group.value, sort: 'size'}));
    this.form = element(
        'select', {id: 'form'}, element('option', {value: 'table'}, 'as a table'),
        element('option', {value: 'tiles'}, 'as areas'));
    this.form.addEventListener('change', () => look.set({form: this.form.value}));
    this.summary = element('span', {className: 'soft'});
    this.head = element('thead');
    this.body = element('tbody');
    this.more = element('button', {type: 'button', hidden: true}, 'show more');
    this.more.addEventListener('click', () => {
      this.most *= 4;
      this.draw();
    });
    this.scroll = element('div', {className: 'scroll'}, element('table', {id: 'alive'}, this.head, this.body));
    holder.append(
        element(
            'div', {className: 'bar'}, this.find, this.group, this.form, runChoice(page),
            element('span', {className: 'grow'}), this.summary),
        this.scroll, this.more);
    this.tiles = new Tiles(page, holder);
  }

  describe(run, block, row) {
    const [category, phase, op, module] = run.tags[run.tagAt(block, row)];
    const {names, texts} = run;
    run.shapes ??= new Shapes(run);
    return {
      block,
      size: run.size[block],
      requested: run.requested[block],
      category: words(names.categories[category]),
      op: texts[op],
      module: texts[module],
      shape: run.shapes.of(block),
      phase: names.phases[phase],
      step: run.step[block],
      born: run.event(run.born[block]),
      freed: run.freed[block] < run.rows ? run.event(run.freed[block]) : Infinity,
      unused: run.size[block] - run.requested[block],
      slot: category,
    };
  }

  /** The blocks of one run that are searched for. */
  list(index) {
    const run = this.page.runs[index];
    const row = this.page.row(index);
    const wanted = this.page.look.find.trim().toLowerCase();
    const list = run.aliveAt(row).held.map((block) => this.describe(run, block, row));
    const text = (entry) => `${entry.category}\n${entry.op}\n${entry.module}\n${entry.phase}\n${entry.shape}`;
    return wanted ? list.filter((entry) => text(entry).toLowerCase().includes(wanted)) : list;
  }

  sorted(list) {
    const [, key, up] = /^(.*?)(-up)?$/.exec(this.page.look.sort);
    const sign = up ? 1 : -1;
    const value = (entry) => entry[key] ?? 0;
    return list.sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === right) return b.size - a.size;
      return (typeof left === 'string' ? -left.localeCompare(right) : left - right) * sign;
    });
  }

  groups(lists) {
    const by = this.page.look.group;
    const found = new Map();
    lists.forEach((list, index) => {
      for (const entry of list) {
        const name = groupName(entry, by);
        let group = found.get(name);
        if (!group)
          found.set(
              name,
              (group = {name, size: 0, other: 0, count: 0, others: 0, slot: by === 'category' ? entry.slot : -1}));
        group[index ? 'other' : 'size'] += entry.size;
        ++group[index ? 'others' : 'count'];
      }
    });
    return [...found.values()].map((group) => ({...group, change: group.other - group.size}));
  }

  draw() {
    const {look, runs} = this.page;
    this.group.value = look.group;
    this.form.value = look.form;
    if (document.activeElement !== this.find) this.find.value = look.find;
    const lists = runs.map((_, index) => this.list(index));
    const sums = lists.map((list) => list.reduce((sum, entry) => sum + entry.size, 0));
    this.total = Math.max(...sums);
    this.sums = sums;
    this.summary.textContent =
        lists
            .map(
                (list, index) =>
                    `${this.two ? `${'AB'[index]}: ` : ''}${grouped(list.length)} blocks, ${bytesText(sums[index])}${
                        look.find ? ' found' : ''} at event ${grouped(runs[index].event(this.page.row(index)))}`)
            .join('; ');
    const tiles = look.form === 'tiles';
    this.tiles.canvas.hidden = !tiles;
    this.scroll.hidden = tiles;
    this.more.hidden = true;
    if (tiles)
      this.tiles.draw(lists[this.page.chosen()], look.group);
    else if (look.group !== 'none')
      this.drawGroups(this.sorted(this.groups(lists)));
    else
      this.drawBlocks(this.sorted(this.two ? pairBlocks(lists, this.page.chosen()) : lists[0]));
  }

  heading(columns) {
    const {look} = this.page;
    this.head.replaceChildren(element('tr', {}, ...columns.map(({key, title, number}) => {
      const up = look.sort === `${key}-up`;
      const down = look.sort === key;
      const button = element('button', {type: 'button'}, `${title}${up ? ' \u25b4' : down ? ' \u25be' : ''}`);
      button.addEventListener('click', () => look.set({sort: down ? `${key}-up` : key}));
      return element(
          'th',
          {className: number ? 'number' : '',
           ariaSort: up ? 'ascending' :
               down     ? 'descending' :
                          'none'},
          button);
    })));
  }

  fill(list, make) {
    this.body.replaceChildren(...list.slice(0, this.most).map(make));
    this.more.hidden = list.length <= this.most;
    this.more.textContent = `show more (${grouped(list.length - this.most)} left)`;
  }

  sizeColumns() {
    return this.two ? SIZE_COLUMNS_OF_TWO : SIZE_COLUMN;
  }
  sizeCells(entry, shade) {
    const cells = [sizeCell(entry.size, this.total, shade)];
    if (!this.two) return cells;
    const change = element('td', {className: 'number', title: `${grouped(entry.change)} bytes`});
    change.textContent = entry.change === 0 ? '' : changeText(entry.change);
    return [...cells, sizeCell(entry.other, this.total, shade), change];
  }

  drawBlocks(list) {
    this.heading([...this.sizeColumns(), ...BLOCK_COLUMNS]);
    const names = this.page.runs[0].names.categories;
    const until = (freed) => (freed === Infinity ? 'the end' : grouped(freed));
    this.fill(list, (entry) => {
      const shade = color(names[entry.slot]);
      const numbers = [
        grouped(entry.step), entry.born < 0 ? 'before' : grouped(entry.born), until(entry.freed),
        bytesText(entry.unused)
      ];
      return element(
          'tr', {}, ...this.sizeCells(entry, shade), nameCell(entry.category, shade), element('td', {}, entry.op),
          element('td', {className: 'path'}, entry.module), element('td', {}, entry.shape),
          element('td', {}, entry.phase), ...numbers.map((text) => element('td', {className: 'number'}, text)));
    });
  }

  drawGroups(list) {
    const names = this.page.runs[0].names.categories;
    const by = this.page.look.group;
    const counts = [{key: 'count', title: this.two ? 'blocks in A' : 'blocks', number: true}];
    if (this.two) counts.push({key: 'others', title: 'in B', number: true});
    this.heading([...this.sizeColumns(), {key: 'name', title: by === 'module' ? 'layer' : by}, ...counts]);
    this.fill(list, (group) => {
      const shade = color(group.slot < 0 ? 'a' : names[group.slot]);
      return element(
          'tr', {}, ...this.sizeCells(group, shade),
          group.slot < 0 ? element('td', {className: by === 'module' ? 'path' : ''}, group.name) :
                           nameCell(group.name, shade),
          ...counts.map(({key}) => element('td', {className: 'number'}, grouped(group[key]))));
    });
  }
}

/** A number of bytes over a bar of its share. */
function sizeCell(bytes, total, shade) {
  const bar = element('i');
  bar.style.width = `${total > 0 ? (100 * bytes) / total : 0}%`;
  bar.style.background = shade;
  return element(
      'td', {className: 'number size', title: `${grouped(bytes)} bytes`}, bar, element('span', {}, bytesText(bytes)));
}

function nameCell(name, shade) {
  const patch = element('i', {className: 'patch'});
  patch.style.background = shade;
  return element('td', {}, patch, name);
}

/** A choice between the two runs, where there are two. */
function runChoice(page) {
  if (page.runs.length === 1) return '';
  const choice = element(
      'select', {className: 'run-choice'},
      ...page.runs.map((run, index) => element('option', {value: index}, `${'AB'[index]}: ${run.header.name}`)));
  choice.addEventListener('change', () => page.look.set({run: Number(choice.value)}));
  page.look.listeners.push(() => (choice.value = page.chosen()));
  return choice;
}
