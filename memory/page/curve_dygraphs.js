// The curves as dygraphs draws them: axes, grid, zoom. Only what can be seen is handed to it.

class DygraphsCurve {
  constructor(page, holder) {
    this.page = page;
    this.holder = holder;
    this.graph = null;
  }

  options() {
    const {page} = this;
    const {runs} = page;
    const names = runs.flatMap((run, index) => {
      const prefix = runs.length > 1 ? `${"AB"[index]} ` : "";
      return CURVES.map((name) => prefix + name);
    });
    const colors = runs.flatMap((run, index) => CURVES.map((_, i) => color(`${"ab"[index]}${i === 1 ? "-reserved" : ""}`)));
    const strokes = [{strokeWidth: 2}, {strokeWidth: 1.5, strokePattern: [6, 3]}, {strokeWidth: 1, strokePattern: [1, 2]}];
    const series = Object.fromEntries(names.map((name, i) => [name, strokes[i % CURVES.length]]));
    return {
      labels: ["event", ...names],
      colors,
      series,
      stepPlot: true,
      legend: "never",
      highlightCircleSize: 0,
      rightGap: MARGIN.right,
      axisLabelFontSize: 11,
      gridLineColor: color("grid"),
      axisLineColor: color("line"),
      axes: {
        x: {axisLabelFormatter: (x) => page.axis.label(x), pixelsPerLabel: 90},
        y: {axisLabelWidth: MARGIN.left - 6, ticker: (from, to, pixels) => byteTicks(from, to, pixels / 34)},
      },
      underlayCallback: (context, area, graph) =>
          page.ground.paint(context, area, (x) => graph.toDomXCoord(x), (y) => graph.toDomYCoord(y)),
      interactionModel: this.interaction(),
      zoomCallback: (from, to) => page.look.set({from, to}),
      clickCallback: (event, x) => page.pin(page.xAt(event)),
    };
  }

  interaction() {
    const {page} = this;
    return {
      mousedown: (event, graph, context) => {
        context.initializeMouseDown(event, graph, context);
        if (event.altKey)
          Dygraph.startPan(event, graph, context);
        else
          Dygraph.startZoom(event, graph, context);
        const move = (moved) => {
          if (context.isPanning)
            Dygraph.movePan(moved, graph, context);
          else if (context.isZooming)
            Dygraph.moveZoom(moved, graph, context);
        };
        const release = (released) => {
          document.removeEventListener("mousemove", move);
          document.removeEventListener("mouseup", release);
          if (context.isZooming) Dygraph.endZoom(released, graph, context);
          if (context.isPanning) {
            Dygraph.endPan(released, graph, context);
            const [from, to] = graph.xAxisRange();
            page.look.set({from, to});
          }
        };
        document.addEventListener("mousemove", move);
        document.addEventListener("mouseup", release);
      },
      willDestroyContextMyself: true,
    };
  }

  /** Draws [from, to] of the axis; with less than its pixels coarsely, for a quick beginning. */
  draw(from, to, pixels = this.holder.clientWidth - MARGIN.left - MARGIN.right) {
    const {page} = this;
    const file = page.data.table(page.axis, from, to, Math.max(20, pixels));
    const shown = {dateWindow: [from, to], valueRange: [0, page.data.top()]};
    if (!this.graph) {
      this.graph = new Dygraph(
          this.holder, file, {...this.options(), ...shown, width: this.holder.clientWidth, height: CURVE_HEIGHT});
    } else {
      this.graph.updateOptions({file, ...shown});
    }
  }

  /** After a change of size or colours. */
  reset() {
    if (this.graph) this.graph.destroy();
    this.graph = null;
    this.holder.replaceChildren();
  }

  /** The plotting area inside of the holder. */
  area() {
    return this.graph.getArea();
  }
}
