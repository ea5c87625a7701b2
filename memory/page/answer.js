// The box on top: the answer that was given, and what the events say by themselves, with links to the moments.

function momentLink(page, index, event, text) {
  const link = element("a", {href: `#t=${Number(page.axis.xOf(index, event + page.runs[index].initial).toFixed(3))}`}, text);
  link.addEventListener("click", (click) => {
    click.preventDefault();
    page.show(page.axis.xOf(index, event + page.runs[index].initial));
  });
  return link;
}

function viewLink(page, view, text) {
  const link = element("a", {href: `#view=${view}`}, text);
  link.addEventListener("click", (click) => {
    click.preventDefault();
    page.look.set({view});
    byId("lower").scrollIntoView({behavior: "smooth"});
  });
  return link;
}

/** The `most` largest of the categories, as text. */
function holders(run, categories, most) {
  return categories.map((bytes, i) => ({bytes, name: words(run.names.categories[i])}))
      .filter(({bytes}) => bytes > 0)
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, most)
      .map(({bytes, name}) => `${name} ${bytesText(bytes)}`)
      .join(", ");
}

function describeRun(page, index) {
  const run = page.runs[index];
  const {peak, peak_reserved: reserved} = run.header;
  const row = run.clamp(peak.event + run.initial);
  const line = element("p");
  if (page.runs.length > 1)
    line.append(element("b", {className: `run-${"ab"[index]}`}, `${"AB"[index]} `), `${run.header.name}: `);
  line.append(
      "The peak is ", momentLink(page, index, peak.event, `${bytesText(peak.bytes)} allocated`),
      ` (${run.phaseText(row)}; ${run.eventText(row)}): `,
      viewLink(page, "alive", holders(run, peak.categories, 4) || "nothing"), ". At most ",
      momentLink(page, index, reserved.event, `${bytesText(reserved.bytes)} reserved`), ".");
  for (const oom of run.ooms.slice(0, 1)) {
    line.append(
        " ", element("strong", {className: "alarm"}, "Out of memory"), " at ",
        momentLink(page, index, run.event(oom.row), `event ${grouped(run.event(oom.row))}`),
        `: ${bytesText(oom.requested)} for ${run.placeText(oom.tag)} did not fit into ${
            run.header.capacity ? bytesText(run.header.capacity) : "the device"}.`);
  }
  return line;
}

function describeDifference(page) {
  const [a, b] = page.runs.map((run) => run.header);
  const line = element("p", {className: "lead"});
  const change = (name, key) => `${name} ${bytesText(a[key].bytes)} \u2192 ${bytesText(b[key].bytes)} (${
      changeText(b[key].bytes - a[key].bytes)})`;
  const causes =
      a.peak.categories
          .map((bytes, i) => ({bytes: b.peak.categories[i] - bytes, name: words(page.runs[0].names.categories[i])}))
          .filter(({bytes}) => bytes !== 0)
          .sort((x, y) => Math.abs(y.bytes) - Math.abs(x.bytes))
          .slice(0, 3);
  line.append(`${change("Peak reserved", "peak_reserved")}. ${change("Peak allocated", "peak")}`);
  if (causes.length > 0)
    line.append(
        "; there the largest changes are ",
        viewLink(page, "difference", causes.map(({bytes, name}) => `${changeText(bytes)} ${name}`).join(", ")));
  line.append(".");
  return line;
}

function drawAnswer(page) {
  const box = byId("answer");
  page.text.answer.forEach((paragraph, i) => {
    const line = element("p", {className: i === 0 ? "lead" : ""}, paragraph);
    if (i === 0 && page.text.sums.length > 0 && page.views) line.append(" ", viewLink(page, "difference", "All parts"));
    box.append(line);
  });
  if (page.text.sweeps.length > 0 && page.views) box.append(element("p", {}, viewLink(page, "sweep", "All points of the sweep")));
  if (page.runs.length === 2 && page.runs.every((run) => run.rows > 0) && page.text.answer.length === 0)
    box.append(describeDifference(page));
  page.runs.forEach((run, index) => {
    box.append(run.rows > 0 ? describeRun(page, index) : element("p", {}, `${run.header.name} has no events.`));
  });
}
