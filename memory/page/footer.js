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
function jsonPieces(run) {
  const pieces = [`{"header":${JSON.stringify(run.header)}`];
  const list = (name, values) => {
    pieces.push(`,"${name}":[`);
    for (let from = 0; from < values.length; from += 1 << 16) {
      pieces.push((from ? "," : "") + values.slice(from, from + (1 << 16)).join(","));
    }
    pieces.push("]");
  };
  for (const name of ["kind", "subject", "category", "was", "allocated", "reserved"]) list(name, run[name]);
  if (run.time) list("time", run.time);
  pieces.push(`,"blocks":{"count":${run.blocks}`);
  for (const name of ["position", "size", "requested", "tag", "step", "stream", "born", "freed", "done"])
    list(name, run[name]);
  const rest = {retags: [...run.retags], segments: run.segmentEvents, ooms: run.ooms, markers: run.markers};
  pieces.push(`},${JSON.stringify(rest).slice(1)}`);
  return pieces;
}

function save(name, type, pieces) {
  const link = element("a", {download: name, href: URL.createObjectURL(new Blob(pieces, {type}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function reportJson(page) {
  const pieces = [`{"mnemo":${JSON.stringify(page.mnemo)},"names":${JSON.stringify(page.runs[0].names)},"text":${
      JSON.stringify(page.text)},"runs":[`];
  page.runs.forEach((run, index) => pieces.push(index ? "," : "", ...jsonPieces(run)));
  return [...pieces, "]}\n"];
}

function curveCsv(run) {
  const pieces = [`event,allocated,reserved,${run.names.categories.join(",")}\n`];
  const sums = run.names.categories.map(() => 0);
  for (let row = 0; row < run.rows; ++row) {
    const exact = row === 0 || row % CHECKPOINT === 0 ? run.categoriesAt(row) : null;
    if (exact)
      exact.forEach((bytes, i) => (sums[i] = bytes));
    else if (run.kind[row] <= KIND.retag && run.kind[row] !== KIND.freeCompleted) {
      const size = run.size[run.subject[row]];
      sums[run.category[row]] += run.kind[row] === KIND.freeRequested ? -size : size;
      if (run.kind[row] === KIND.retag) sums[run.was[row]] -= size;
    }
    if (row >= run.initial)
      pieces.push(`${run.event(row)},${run.allocated[row]},${run.reserved[row]},${sums.join(",")}\n`);
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
  const button = (id, text, action) => {
    const made = element("button", {type: "button", id}, text);
    made.addEventListener("click", action);
    byId("downloads").append(made);
  };
  button(
      "save-json", "download the data (JSON)", () => save("mnemo-report.json", "application/json", reportJson(page)));
  page.runs.forEach((run, index) => {
    const which = page.runs.length > 1 ? ` of ${"AB"[index]}` : "";
    button(
        `save-csv-${index}`, `download the curves${which} (CSV)`,
        () => save(`mnemo-curves${which.trim().replace(" ", "-")}.csv`, "text/csv", curveCsv(run)));
  });
}
