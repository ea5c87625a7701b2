// The curves where dygraphs is missing: the same pictures, with less comfort.

class PlainCurve {
  constructor(page, holder) {
    this.page = page;
    this.holder = holder;
    this.canvas = null;
  }

  area() {
    return {x: MARGIN.left, y: 0, w: this.holder.clientWidth - MARGIN.left - MARGIN.right, h: CURVE_HEIGHT - 22};
  }

  reset() {
    this.canvas = null;
    this.holder.replaceChildren();
  }

  draw(from, to) {
    if (!this.canvas) {
      this.canvas = element("canvas");
      this.canvas.addEventListener("click", (event) => this.page.pin(this.page.xAt(event)));
      this.holder.append(this.canvas);
    }
    const area = this.area();
    const top = this.page.data.top();
    const context = fit(this.canvas, this.holder.clientWidth, CURVE_HEIGHT);
    const toX = (x) => area.x + ((x - from) / (to - from)) * area.w;
    const toY = (y) => area.y + area.h - (y / top) * area.h;
    this.page.ground.paint(context, area, toX, toY);
    this.drawAxes(context, area, top, toY, from, to, toX);
    const table = this.page.data.table(this.page.axis, from, to, area.w);
    context.save();
    context.beginPath();
    context.rect(area.x, area.y, area.w, area.h);
    context.clip();
    for (let series = 1; series < table[0].length; ++series) this.drawSeries(context, table, series, toX, toY);
    context.restore();
  }

  drawAxes(context, area, top, toY, from, to, toX) {
    context.font = `11px ${color("font")}`;
    context.strokeStyle = color("grid");
    context.fillStyle = color("ink");
    for (const {v, label} of byteTicks(0, top, area.h / 34)) {
      const y = toY(v);
      context.beginPath();
      context.moveTo(area.x, y);
      context.lineTo(area.x + area.w, y);
      context.stroke();
      context.fillText(label, area.x - 6 - context.measureText(label).width, Math.max(9, y + 4));
    }
    for (let i = 0; i <= 5; ++i) {
      const x = from + ((to - from) * i) / 5;
      const label = this.page.axis.label(x);
      context.fillText(
          label, Math.min(toX(x), area.x + area.w - context.measureText(label).width), area.y + area.h + 16);
    }
  }

  drawSeries(context, table, series, toX, toY) {
    const run = "ab"[Math.floor((series - 1) / CURVES.length)];
    const which = (series - 1) % CURVES.length;
    context.strokeStyle = color(which === 1 ? `${run}-reserved` : run);
    context.lineWidth = [2, 1.5, 1][which];
    context.setLineDash([[], [6, 3], [1, 2]][which]);
    context.beginPath();
    let last = null;
    for (const line of table) {
      const value = line[series];
      if (value === null) continue;
      if (last === null)
        context.moveTo(toX(line[0]), toY(value));
      else {
        context.lineTo(toX(line[0]), toY(last));
        context.lineTo(toX(line[0]), toY(value));
      }
      last = value;
    }
    context.stroke();
    context.setLineDash([]);
  }
}
