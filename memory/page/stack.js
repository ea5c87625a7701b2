// What holds the memory, category on category, with what is reserved but free on top: every pixel shows the event at
// which most was allocated there.

const STACK_HEIGHT = 150;

class Stack {
  constructor(page, index, holder) {
    Object.assign(this, {page, index, run: page.runs[index]});
    this.canvas = element("canvas", {tabIndex: -1});
    this.canvas.setAttribute("aria-label", "Stacked categories");
    holder.append(this.canvas);
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", (event) => showTip(event, null));
    this.canvas.addEventListener("click", (event) => page.pin(page.xAt(event)));
  }

  /** Per pixel the row that is shown there. */
  pickRows(from, to, width) {
    const {axis} = this.page;
    const rows = [];
    for (let pixel = 0; pixel < width; ++pixel) {
      const x = from + ((to - from) * pixel) / width;
      const begin = axis.rowAt(this.index, x);
      const end = axis.rowAt(this.index, from + ((to - from) * (pixel + 1)) / width);
      if (!axis.covers(this.index, x))
        rows.push(-1);
      else
        rows.push(end - begin > 1 ? this.run.extremes.allocated.range(begin, end).most : begin);
    }
    return rows;
  }

  draw(from, to) {
    const area = this.page.area();
    const width = Math.max(1, Math.floor(area.w));
    const context = fit(this.canvas, this.page.width(), STACK_HEIGHT);
    const solo = this.run.names.categories.indexOf(this.page.look.solo);
    const alone = this.page.look.solo !== "";
    this.rows = this.pickRows(from, to, width);
    this.sums = [];
    let known = -1;
    for (const row of this.rows) {
      const same = row === known && this.sums.length > 0;
      this.sums.push(row < 0 ? null : same ? this.sums.at(-1) : this.run.categoriesAt(row));
      known = row;
    }
    const shown = (pixel) => (solo >= 0 ? this.sums[pixel][solo] : this.run.reserved[this.rows[pixel]]);
    const most = this.rows.reduce((most, row, pixel) => (row < 0 ? most : Math.max(most, shown(pixel))), 1);
    this.top = solo >= 0 ? 1.05 * most : this.page.data.top();
    this.drawScale(context, area);
    const scale = (STACK_HEIGHT - 6) / this.top;
    const bottom = STACK_HEIGHT - 1;
    const colors = this.run.names.categories.map((name) => color(name));
    const free = hatch(context);
    for (let begin = 0; begin < width;) {
      let end = begin + 1;
      while (end < width && this.rows[end] === this.rows[begin]) ++end;
      if (this.rows[begin] >= 0)
        this.drawColumn(context, area.x + begin, end - begin, begin, {scale, bottom, colors, free, solo, alone});
      begin = end;
    }
  }

  drawColumn(context, x, width, pixel, {scale, bottom, colors, free, solo, alone}) {
    const sums = this.sums[pixel];
    let base = 0;
    sums.forEach((bytes, category) => {
      if (bytes === 0 || (alone && category !== solo)) return;
      context.fillStyle = colors[category];
      context.fillRect(x, bottom - (base + bytes) * scale, width, bytes * scale);
      base += bytes;
    });
    if (alone && this.page.look.solo !== "cached") return;
    const cached = this.run.reserved[this.rows[pixel]] - this.run.allocated[this.rows[pixel]];
    context.fillStyle = free;
    context.fillRect(x, bottom - (base + cached) * scale, width, cached * scale);
  }

  drawScale(context, area) {
    context.font = `11px ${color("font")}`;
    for (const {v, label} of byteTicks(0, this.top, STACK_HEIGHT / 34)) {
      const y = STACK_HEIGHT - 1 - (v * (STACK_HEIGHT - 6)) / this.top;
      context.fillStyle = color("grid");
      context.fillRect(area.x, Math.round(y), area.w, 1);
      context.fillStyle = color("ink");
      context.fillText(
          label, area.x - 6 - context.measureText(label).width, Math.max(10, Math.min(STACK_HEIGHT - 3, y + 4)));
    }
    if (this.page.runs.length > 1) {
      context.font = `bold 13px ${color("font")}`;
      context.fillStyle = color("ab"[this.index]);
      context.fillText("AB"[this.index], 4, 14);
    }
  }

  hover(event) {
    const pixel = Math.floor(event.offsetX - this.page.area().x);
    const row = this.rows?.[pixel] ?? -1;
    if (row < 0) return showTip(event, null);
    const sums = this.sums[pixel];
    const alone = this.page.look.solo !== "";
    let height = ((STACK_HEIGHT - 1 - event.offsetY) * this.top) / (STACK_HEIGHT - 6);
    let hit = -1;
    if (!alone)
      hit = sums.findIndex((bytes) => (height -= bytes) < 0);
    else
      hit = this.run.names.categories.indexOf(this.page.look.solo);
    const cached = this.run.reserved[row] - this.run.allocated[row];
    const what =
        hit >= 0 ? `${words(this.run.names.categories[hit])} ${bytesText(sums[hit])}` : `cached ${bytesText(cached)}`;
    showTip(event, [
      what, `of ${bytesText(this.run.reserved[row])} reserved`,
      `event ${grouped(this.run.event(row))}: ${this.run.phaseText(row)}`
    ]);
  }
}
