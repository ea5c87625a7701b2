// The page, put together: it reads the data, keeps the cursor, and has each part drawn when what it shows has changed.

class Page {
  constructor(data, runs) {
    this.mnemo = data.mnemo;
    this.text = data.text;
    this.runs = runs;
    this.look = new Look();
    this.look.read();
    this.data = new CurveData(runs);
    this.ground = new CurveGround(this);
    this.axis = new Axis(runs, this.look.align, this.look.axis);
  }

  /** The run that single views show. */
  chosen() {
    return Math.max(0, Math.min(this.runs.length - 1, Math.floor(this.look.run)));
  }
  peakOf(index) {
    const run = this.runs[index];
    return this.axis.xOf(index, run.clamp(run.header.peak.event + run.initial));
  }
  /** Where the cursor is on the axis: pinned, under the mouse, else at the peak. */
  x() {
    return this.look.t ?? this.look.hover ?? this.peakOf(this.chosen());
  }
  row(index) {
    return this.axis.rowAt(index, this.x());
  }
  /** What is visible of the axis. */
  range() {
    const {from, to} = this.look;
    const begin = Math.max(this.axis.from, Math.min(from ?? this.axis.from, this.axis.to - 1));
    return [begin, Math.max(begin + 1, Math.min(to ?? this.axis.to, this.axis.to))];
  }
  width() {
    return byId("curve").clientWidth;
  }
  area() {
    return this.curve.area();
  }
  /** The place on the axis under the mouse; whole events. */
  xAt(event) {
    const area = this.area();
    const [from, to] = this.range();
    const x = from + ((event.clientX - byId("curve").getBoundingClientRect().left - area.x) / area.w) * (to - from);
    return this.axis.snap(Math.max(from, Math.min(to, x)));
  }

  pin(x) {
    this.look.set({t: x === this.look.t ? null : x, hover: null});
  }
  /** As a pin that is surely set and to be seen. */
  go(x) {
    this.look.set({t: x, hover: null});
    this.follow();
  }
  /** One event of the chosen run back or on, and into view; false at the ends. */
  step(by) {
    const index = this.chosen();
    const before = this.row(index);
    const row = this.runs[index].clamp(before + by);
    this.go(this.axis.xOf(index, row));
    return row !== before;
  }
  /** Moves what is visible so that the cursor is in it. */
  follow() {
    const [from, to] = this.range();
    const x = this.x();
    if (x >= from && x <= to) return;
    const half = (to - from) / 2;
    this.look.set({from: x - half, to: x + half});
  }
  show(x) {
    this.go(x);
    byId("curves").scrollIntoView({behavior: "smooth", block: "nearest"});
  }
  zoom(factor, x) {
    const [from, to] = this.range();
    if (factor < 1 && to - from <= 8) return;
    this.look.set({from: x - (x - from) * factor, to: x + (to - x) * factor});
  }

  async build() {
    const {look} = this;
    const breath = new Breath();
    document.title = `mnemo: ${this.runs.map((run) => run.header.name).join(" and ")}`;
    byId("title").textContent = this.runs.map((run) => run.header.name).join(" \u2192 ");
    this.holder = element("div", {id: "plot"});
    this.marks = element("canvas", {id: "marks"});
    byId("curve").append(this.holder, this.marks);
    this.curve =
        typeof Dygraph === "undefined" ? new PlainCurve(this, this.holder) : new DygraphsCurve(this, this.holder);
    if (typeof Dygraph === "undefined")
      this.notice(
          "The curve library dygraphs was not there when mnemo was built: the curves are plain ones, without zoom by dragging.");
    byId("licence").hidden = typeof Dygraph === "undefined";
    this.stacks = this.runs.map((run, index) => new Stack(this, index, byId("stacks")));
    this.balance = new Balance(this, byId("balance"));
    await breath.take();
    this.views = {
      alive: new AliveTable(this, byId("view-alive")),
      map: new AddressMap(this, byId("view-map")),
      difference: new Difference(this, byId("view-difference")),
      layers: new Layers(this, byId("view-layers")),
      sweep: new Sweep(this, byId("view-sweep"))
    };
    if (!this.views[look.view]) look.view = "alive";
    await breath.take();
    for (const mismatch of this.balance.mismatches()) this.notice(mismatch);
    await breath.take();
    for (const {header} of this.runs) {
      if (header.truncated) this.notice(`${header.name}: the file ends before its recording did.`);
      if (header.dropped)
        this.notice(`${header.name}: a ring kept the latest events; ${grouped(header.dropped)} are not in it.`);
    }
    drawAnswer(this);
    drawFooter(this);
    await breath.take();
    this.buildTabs();
    this.buildLegends();
    this.listen();
    await breath.take();
    look.listeners.push((changed) => this.draw(changed));
    this.curve.draw(...this.range(), 20);  // the library takes its time to begin
    for (const part of ["curve", "stacks", "cursor", "view"]) {
      await breath.take();
      this.drawPart(part);
    }
  }

  notice(text) {
    byId("notices").append(element("p", {className: "notice"}, text));
  }

  buildTabs() {
    byId("tabs").append(...Object.keys(this.views).map((view) => {
      const tab = element(
          "button", {type: "button", id: `tab-${view}`, role: "tab"}, byId(`view-${view}`).getAttribute("aria-label"));
      tab.addEventListener("click", () => this.look.set({view}));
      return tab;
    }));
  }

  buildLegends() {
    const line = (kind, text) => element("span", {className: "key"}, element("i", {className: `stroke ${kind}`}), text);
    byId("legend").append(...this.runs.flatMap((run, index) => {
      const name = this.runs.length > 1 ? `${"AB"[index]} ` : "";
      const kind = "ab"[index];
      return [
        line(kind, `${name}allocated`), line(`${kind}-reserved`, "reserved"), line(`${kind} asked`, "requested")
      ];
    }));
    byId("bands").append(...[...this.runs[0].names.categories, "cached"].map((name) => {
      const patch = element("i", {className: `patch ${name === "cached" ? "hatched" : ""}`});
      if (name !== "cached") patch.style.background = `var(--${name})`;
      const button = element("button", {type: "button", value: name, title: "show this one alone"}, patch, words(name));
      button.addEventListener("click", () => this.look.set({solo: this.look.solo === name ? "" : name}));
      return button;
    }));
    byId("align-box").hidden = this.runs.length === 1;
    byId("align").value = this.look.align;
    byId("align").addEventListener("change", () => this.look.set({align: byId("align").value}));
    byId("axis-box").hidden = !Axis.canBeTimed(this.runs);
    byId("axis").addEventListener("change", () => this.changeAxis(byId("axis").value));
    this.nameAxis();
  }

  nameAxis() {
    byId("axis").value = this.axis.timed ? "time" : "event";
    byId("curves-title").textContent = this.axis.timed ? "Memory over time" : "Memory, event by event";
  }
  /** Keeps the same moments in sight. */
  changeAxis(unit) {
    const axis = new Axis(this.runs, this.look.align, unit);
    const moved = (x) => (x === null ? null : axis.xOf(0, this.axis.rowAt(0, x)));
    this.look.set({axis: unit, t: moved(this.look.t), from: moved(this.look.from), to: moved(this.look.to)});
  }

  listen() {
    const {look} = this;
    for (const area of [byId("curve"), byId("stacks")]) {
      area.addEventListener("mousemove", (event) => look.t === null && look.set({hover: this.xAt(event)}));
      area.addEventListener("mouseleave", () => look.set({hover: null}));
      area.addEventListener("dblclick", () => look.set({from: null, to: null}));
      area.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        this.zoom(event.deltaY > 0 ? 1.3 : 1 / 1.3, this.xAt(event));
      }, {passive: false});
    }
    byId("zoom-all").addEventListener("click", () => look.set({from: null, to: null}));
    byId("zoom-peak").addEventListener("click", () => {
      const peak = this.peakOf(this.chosen());
      const half = Math.max(20, (this.axis.to - this.axis.from) / 40);
      look.set({from: peak - half, to: peak + half, t: peak});
    });
    listenToKeys(this);
    window.addEventListener("hashchange", () => {
      look.read();
      look.touch(...Object.keys(DEFAULTS));
    });
    window.addEventListener("resize", () => this.reset());
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.reset());
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
  }

  /** Paper is light, and shows every view. */
  print(begins) {
    document.documentElement.classList.toggle("paper", begins);
    this.reset();
    if (begins) this.drawViews(Object.keys(this.views));
  }

  reset() {
    palette.clear();
    this.curve.reset();
    this.drawAll();
  }
  drawAll() {
    for (const part of ["curve", "stacks", "cursor", "view"]) this.drawPart(part);
  }

  draw(changed) {
    const any = (...keys) => keys.some((key) => changed.has(key));
    if (any("align", "axis")) {
      this.axis = new Axis(this.runs, this.look.align, this.look.axis);
      byId("align").value = this.look.align;
      this.nameAxis();
    }
    if (changed.has("view") && !this.views[this.look.view]) this.look.view = "alive";
    if (any("from", "to", "align", "axis")) this.drawPart("curve");
    if (any("from", "to", "align", "axis", "solo")) this.drawPart("stacks");
    this.drawPart("cursor", any("t", "hover", "align", "axis", "run"));
    if (any("t", "hover", "align", "axis", "run", "view", "group", "form", "sort", "find", "scale", "scales"))
      this.drawPart("view");
  }

  drawPart(part, moved = true) {
    const {look} = this;
    if (part === "curve") {
      this.curve.draw(...this.range());
    } else if (part === "stacks") {
      for (const stack of this.stacks) stack.draw(...this.range());
      for (const button of byId("bands").children)
        button.classList.toggle("off", look.solo !== "" && look.solo !== button.value);
    } else if (part === "cursor") {
      this.drawMarks();
      if (moved) this.balance.draw();
    } else {
      this.drawTabs();
      this.drawViews([look.view]);
    }
  }

  drawTabs() {
    for (const view of Object.keys(this.views)) {
      const selected = this.look.view === view;
      byId(`view-${view}`).classList.toggle("selected", selected);
      byId(`tab-${view}`).setAttribute("aria-selected", selected);
    }
  }
  drawViews(views) {
    for (const view of views) this.views[view].draw();
  }

  /** The cursor through all curves, and pins at the peaks. */
  drawMarks() {
    const area = this.area();
    const height = byId("curve").clientHeight + byId("stacks").clientHeight;
    const context = fit(this.marks, this.width(), height);
    const [from, to] = this.range();
    const toX = (x) => area.x + ((x - from) / (to - from)) * area.w;
    const inside = (x) => x >= area.x - 1 && x <= area.x + area.w + 1;
    context.font = `11px ${color("font")}`;
    const labels = [];
    this.runs.forEach((run, index) => {
      const x = toX(this.peakOf(index));
      if (run.rows === 0 || !inside(x)) return;
      const y = area.y + area.h * (1 - run.header.peak.bytes / this.data.top());
      context.fillStyle = color("ab"[index]);
      context.beginPath();
      context.arc(x, y, 4.5, 0, 7);
      context.fill();
      context.strokeStyle = color("ground");
      context.stroke();
      const label = `peak${this.runs.length > 1 ? ` ${"AB"[index]}` : ""} ${bytesText(run.header.peak.bytes)}`;
      const wide = context.measureText(label).width;
      const crossed = run.ooms.length > 0 && Math.abs(toX(this.axis.xOf(index, run.ooms[0].row)) - x) < 24;
      const before = crossed || x + 9 + wide > area.x + area.w;
      const left = before && x - 12 - wide > area.x ? x - 9 - wide : x + 9;
      const covered = labels.some((other) => Math.abs(other.left - left) < wide + 6 && Math.abs(other.y - y) < 16);
      const base = covered ? y + 16 : y - 6;  // below its point, where another label is above it
      labels.push({left, y});
      context.fillStyle = color("veil");
      context.fillRect(left - 3, base - 12, wide + 6, 15);
      context.fillStyle = color("ab"[index]);
      context.fillText(label, left, base);
    });
    this.runs.forEach((run, index) => {
      let last = -Infinity;
      for (const {row} of run.ooms) {
        const x = toX(this.axis.xOf(index, row));
        if (!inside(x) || x < last + 12) continue;
        this.ground.paintCross(
            context, x, area.y + area.h * (1 - run.reserved[row] / this.data.top()), last === -Infinity);
        last = x;
      }
    });
    const x = toX(this.x());
    if (!inside(x)) return;
    context.strokeStyle = color("ink");
    context.setLineDash(this.look.t === null ? [3, 3] : []);
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, 0);
    context.lineTo(Math.round(x) + 0.5, height);
    context.stroke();
  }
}

async function open() {
  const data = JSON.parse(byId("data").textContent);
  const names = {categories: data.categories, phases: data.phases};
  document.body.classList.add("reading");
  const runs = [];
  for (const [index, header] of data.runs.entries()) runs.push(await decodeRun(index, header, names));
  document.body.classList.remove("reading");
  const page = new Page(data, runs);
  window.mnemo = page;  // for those who open the console, and for tests
  if (runs.some((run) => run.rows === 0)) {
    drawAnswer(page);
    drawFooter(page);
    byId("curves").hidden = byId("lower").hidden = true;
  } else
    await page.build();
  document.body.classList.add("ready");
}

open().catch((error) => {
  byId("notices").append(element("p", {className: "notice alarm"}, `This page cannot show its data: ${error.message}`));
  throw error;
});
