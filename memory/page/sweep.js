// The sweep: how the peak moves with batch size, resolution or whatever was varied.

class Sweep {
  constructor(page, holder) {
    Object.assign(this, {page, holder, drawn: false});
  }

  draw() {
    if (this.drawn) return;
    this.drawn = true;
    const {sweeps} = this.page.text;
    if (sweeps.length === 0)
      this.holder.append(element("p", {className: "soft"}, "No sweep was given to this page."));
    else
      this.holder.append(element("div", {id: "sweeps"}, ...sweeps.map((sweep) => this.chart(sweep))));
  }

  chart({title, capacity, points}) {
    const size = {width: 460, height: 240, left: 76, right: 12, top: 12, bottom: 34};
    const svg = drawing("svg", {viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": title});
    const most = 1.08 * Math.max(1, capacity, ...points.map((point) => point.reserved));
    const x = (i) =>
        size.left + ((size.width - size.left - size.right) * (points.length > 1 ? i / (points.length - 1) : 0.5));
    const y = (bytes) => size.height - size.bottom - ((size.height - size.top - size.bottom) * bytes) / most;
    const line = (y1, kind) =>
        svg.append(drawing("line", {x1: size.left, x2: size.width - size.right, y1, y2: y1, class: kind}));
    for (const {v, label} of byteTicks(0, most, 5)) {
      line(y(v), "grid");
      svg.append(drawing("text", {x: size.left - 6, y: y(v) + 4, "text-anchor": "end"}, label));
    }
    if (capacity > 0) {
      line(y(capacity), "capacity");
      svg.append(
          drawing("text", {x: size.left + 4, y: y(capacity) - 4, class: "alarm"}, `capacity ${bytesText(capacity)}`));
    }
    for (const field of ["reserved", "allocated"]) {
      svg.append(drawing(
          "polyline", {class: field, points: points.map((point, i) => `${x(i)},${y(point[field])}`).join(" ")}));
    }
    const every = Math.ceil(points.length / 8);
    points.forEach((point, i) => {
      const dot = drawing("circle", {
        cx: x(i),
        cy: y(point.reserved),
        r: point.note ? 6 : 3.5,
        class: point.fits ? (point.note ? "noted" : "dot") : "over"
      });
      dot.append(drawing(
          "title", {},
          `${point.label}: allocated ${bytesText(point.allocated)}, reserved ${bytesText(point.reserved)}${
              point.fits ? "" : ", does not fit"}${point.note ? `\n${point.note}` : ""}`));
      svg.append(dot);
      if (i % every === 0)
        svg.append(drawing("text", {x: x(i), y: size.height - 12, "text-anchor": "middle"}, point.label));
    });
    const notes =
        points.filter((point) => point.note).map((point) => element("li", {}, `${point.label}: ${point.note}`));
    return element(
        "figure", {}, element("figcaption", {}, title), svg,
        element(
            "div", {className: "soft"},
            "solid: peak allocated; dashed: peak reserved; filled red: does not fit; ringed: see below"),
        element("ul", {}, ...notes));
  }
}
