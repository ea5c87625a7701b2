// What is needed to repeat the runs, and the data for other programs.

function aboutRun(page, run, index) {
  const {header} = run;
  const list = element('dl');
  const add = (name, value) => list.append(element('dt', {}, name), element('dd', {}, value));
  add('device', header.device || 'not known');
  add('capacity', header.capacity ? `${bytesText(header.capacity)} (${grouped(header.capacity)} bytes)` : 'unlimited');
  add('context', header.context === null ? 'not known' : bytesText(header.context));
  add('allocator', header.allocator || 'defaults');
  for (const [key, value] of header.metadata) add(key, value);
  add('events',
      grouped(header.events) +
          (header.dropped ? `, after ${grouped(header.dropped)} that the ring had no room for` : '') +
          (header.truncated ? '; the file ends before its recording did' : ''));
  add('time', header.timed ? 'microseconds' : 'counted in events');
  return element(
      'div', {className: 'about'},
      element('h3', {}, page.runs.length > 1 ? `${'AB'[index]}: ${header.name}` : header.name), list);
}

/** A file in the making: now and then what came goes to the browser, so that its end is no stall. */
class Draft {
  constructor() {
    Object.assign(this, {parts: [], texts: [], length: 0, breath: new Breath()});
  }
  add(text) {
    this.texts.push(text);
    this.length += text.length;
    if (this.length > 1 << 19) this.flush();
  }
  flush() {
    this.parts.push(new Blob([this.texts.join('')]));
    this.texts = [];
    this.length = 0;
  }
  /** To be awaited in long loops. */
  async pause() {
    if (this.breath.due()) await this.breath.take();
  }
  finish() {
    this.flush();
    return this.parts;
  }
}

/** A run as one object, column by column. */
async function addRun(draft, run) {
  const list = async (name, values, text, portion) => {
    draft.add(`,"${name}":[`);
    for (let from = 0; from < values.length; from += portion) {
      draft.add((from ? ',' : '') + text(values.slice(from, from + portion)));
      await draft.pause();
    }
    draft.add(']');
  };
  const numbers = (name, values) => list(name, values, (some) => some.join(','), 1 << 14);
  const objects = (name, values) => list(name, values, (some) => JSON.stringify(some).slice(1, -1), 1 << 12);
  draft.add(`{"header":${JSON.stringify(run.header)}`);
  for (const name of ['kind', 'subject', 'category', 'was', 'allocated', 'reserved', 'asked'])
    await numbers(name, run[name]);
  if (run.time) await numbers('time', run.time);
  draft.add(`,"blocks":{"count":${run.blocks}`);
  for (const name of ['position', 'size', 'requested', 'tag', 'step', 'stream', 'born', 'freed', 'done'])
    await numbers(name, run[name]);
  draft.add('}');
  await objects('retags', [...run.retags]);
  await objects('segments', run.segmentEvents);
  await objects('ooms', run.ooms);
  await objects('markers', run.markers);
  draft.add('}');
}

async function reportJson(page) {
  const draft = new Draft();
  draft.add(`{"mnemo":${JSON.stringify(page.mnemo)},"names":${JSON.stringify(page.runs[0].names)},"text":${
      JSON.stringify(page.text)},"runs":[`);
  for (const [index, run] of page.runs.entries()) {
    if (index > 0) draft.add(',');
    await addRun(draft, run);
  }
  draft.add(']}\n');
  return draft.finish();
}

async function curveCsv(run) {
  const draft = new Draft();
  draft.add(`event,allocated,reserved,requested,${run.names.categories.join(',')}\n`);
  const sums = run.names.categories.map(() => 0);
  for (let row = 0; row < run.rows; ++row) {
    if (row % 256 === 0) await draft.pause();
    const exact = row === 0 || row % CHECKPOINT === 0 ? run.categoriesAt(row) : null;
    if (exact)
      exact.forEach((bytes, i) => (sums[i] = bytes));
    else if (run.kind[row] <= KIND.retag && run.kind[row] !== KIND.freeCompleted) {
      const size = run.size[run.subject[row]];
      sums[run.category[row]] += run.kind[row] === KIND.freeRequested ? -size : size;
      if (run.kind[row] === KIND.retag) sums[run.was[row]] -= size;
    }
    if (row >= run.initial)
      draft.add(`${run.event(row)},${run.allocated[row]},${run.reserved[row]},${run.asked[row]},${sums.join(',')}\n`);
  }
  return draft.finish();
}

function save(name, type, pieces) {
  const link = element('a', {download: name, href: URL.createObjectURL(new Blob(pieces, {type}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function drawFooter(page) {
  const about = byId('about');
  page.runs.forEach((run, index) => about.append(aboutRun(page, run, index)));
  const more = [['mnemo', page.mnemo], ...page.text.footer];
  about.append(element(
      'div', {className: 'about'}, element('h3', {}, 'this page'),
      element('dl', {}, ...more.flatMap(([key, value]) => [element('dt', {}, key), element('dd', {}, value)]))));
  const button = (id, text, file, type, make) => {
    const made = element('button', {type: 'button', id}, text);
    made.addEventListener('click', async () => {
      made.disabled = true;
      try {
        save(file, type, await make());
      } finally {
        made.disabled = false;
      }
    });
    byId('downloads').append(made);
  };
  button('save-json', 'the data (JSON)', 'mnemo-report.json', 'application/json', () => reportJson(page));
  page.runs.forEach((run, index) => {
    const two = page.runs.length > 1;
    const add = (id, text, ending, type, make) => button(
        `save-${id}-${index}`, two ? `${text} of ${'AB'[index]}` : text,
        `mnemo-${id}${two ? `-of-${'AB'[index]}` : ''}.${ending}`, type, make);
    add('curves', 'the curves (CSV)', 'csv', 'text/csv', () => curveCsv(run));
    add('snapshot', 'a snapshot for pytorch.org/memory_viz', 'pickle', 'application/octet-stream',
        () => new Snapshot(run).pieces());
    add('trace', 'a trace for ui.perfetto.dev', 'json', 'application/json', () => new Trace(run).pieces());
  });
}
