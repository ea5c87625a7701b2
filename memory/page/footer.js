// What is needed to repeat the runs, and the data for other programs.

function aboutRun(page, run, index) {
  const {header} = run;
  const list = element("dl");
  const add = (name, value) => list.append(element("dt", {}, name), element("dd", {}, value));
  add("device", header.device || "not known");
  add("capacity", header.capacity ? `${bytesText(header.capacity)} (${grouped(header.capacity)} bytes)` : "unlimited");
  add("context", header.context === null ? "not known" : bytesText(header.context));
  add("allocator", header.allocator || "defaults");
  for (const [key, value] of header.metadata) add(key, value);
  add("events",
      grouped(header.events) +
          (header.dropped ? `, after ${grouped(header.dropped)} that the ring had no room for` : "") +
          (header.truncated ? "; the file ends before its recording did" : ""));
  add("time", header.timed ? "microseconds" : "counted in events");
  return element(
      "div", {className: "about"},
      element("h3", {}, page.runs.length > 1 ? `${"AB"[index]}: ${header.name}` : header.name), list);
}

/** The columns of a run as pieces of JSON; joined they are one object. */
async function jsonPieces(run, breath) {
  const pieces = [`{"header":${JSON.stringify(run.header)}`];
  const list = async (name, values) => {
    pieces.push(`,"${name}":[`);
    for (let from = 0; from < values.length; from += 1 << 14) {
      pieces.push((from ? "," : "") + values.slice(from, from + (1 << 14)).join(","));
      if (breath.due()) await breath.take();
    }
    pieces.push("]");
  };
  const objects = async (name, values) => {
    pieces.push(`,"${name}":[`);
    for (let from = 0; from < values.length; from += 1 << 12) {
      pieces.push((from ? "," : "") + JSON.stringify(values.slice(from, from + (1 << 12))).slice(1, -1));
      if (breath.due()) await breath.take();
    }
    pieces.push("]");
  };
  for (const name of ["kind", "subject", "category", "was", "allocated", "reserved", "asked"]) await list(name, run[name]);
  if (run.time) await list("time", run.time);
  pieces.push(`,"blocks":{"count":${run.blocks}`);
  for (const name of ["position", "size", "requested", "tag", "step", "stream", "born", "freed", "done"])
    await list(name, run[name]);
  pieces.push("}");
  await objects("retags", [...run.retags]);
  await objects("segments", run.segmentEvents);
  await objects("ooms", run.ooms);
  await objects("markers", run.markers);
  return [...pieces, "}"];
}

function save(name, type, pieces) {
  const link = element("a", {download: name, href: URL.createObjectURL(new Blob(pieces, {type}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function reportJson(page) {
  const breath = new Breath();
  const pieces = [`{"mnemo":${JSON.stringify(page.mnemo)},"names":${JSON.stringify(page.runs[0].names)},"text":${
      JSON.stringify(page.text)},"runs":[`];
  for (const [index, run] of page.runs.entries()) {
    if (index > 0) pieces.push(",");
    for (const piece of await jsonPieces(run, breath)) pieces.push(piece);
  }
  return [...pieces, "]}\n"];
}

async function curveCsv(run) {
  const breath = new Breath();
  const pieces = [`event,allocated,reserved,requested,${run.names.categories.join(",")}\n`];
  const sums = run.names.categories.map(() => 0);
  for (let row = 0; row < run.rows; ++row) {
    if (row % 256 === 0 && breath.due()) await breath.take();
    const exact = row === 0 || row % CHECKPOINT === 0 ? run.categoriesAt(row) : null;
    if (exact)
      exact.forEach((bytes, i) => (sums[i] = bytes));
    else if (run.kind[row] <= KIND.retag && run.kind[row] !== KIND.freeCompleted) {
      const size = run.size[run.subject[row]];
      sums[run.category[row]] += run.kind[row] === KIND.freeRequested ? -size : size;
      if (run.kind[row] === KIND.retag) sums[run.was[row]] -= size;
    }
    if (row >= run.initial)
      pieces.push(`${run.event(row)},${run.allocated[row]},${run.reserved[row]},${run.asked[row]},${sums.join(",")}\n`);
  }
  return pieces;
}

function drawFooter(page) {
  const about = byId("about");
  page.runs.forEach((run, index) => about.append(aboutRun(page, run, index)));
  const more = [["mnemo", page.mnemo], ...page.text.footer];
  about.append(element(
      "div", {className: "about"}, element("h3", {}, "this page"),
      element("dl", {}, ...more.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]))));
  const button = (id, text, file, type, make) => {
    const made = element("button", {type: "button", id}, text);
    made.addEventListener("click", async () => {
      made.disabled = true;
      try {
        save(file, type, await make());
      } finally {
        made.disabled = false;
      }
    });
    byId("downloads").append(made);
  };
  button("save-json", "the data (JSON)", "mnemo-report.json", "application/json", () => reportJson(page));
  page.runs.forEach((run, index) => {
    const two = page.runs.length > 1;
    const add = (id, text, ending, type, make) => button(
        `save-${id}-${index}`, two ? `${text} of ${"AB"[index]}` : text,
        `mnemo-${id}${two ? `-of-${"AB"[index]}` : ""}.${ending}`, type, make);
    add("curves", "the curves (CSV)", "csv", "text/csv", () => curveCsv(run));
    add("snapshot", "a snapshot for pytorch.org/memory_viz", "pickle", "application/octet-stream",
        () => new Snapshot(run).pieces());
    add("trace", "a trace for ui.perfetto.dev", "json", "application/json", () => new Trace(run).pieces());
  });
}
