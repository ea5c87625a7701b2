// Numbers as text, and elements that hold text: nothing that comes from a recording is ever read as HTML.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 -> "1.50 KiB". */
function bytesText(bytes) {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 1024 && unit + 1 < UNITS.length) {
    value /= 1024;
    ++unit;
  }
  const sign = bytes < 0 ? "\u2212" : "";
  return `${sign}${unit === 0 ? value : value.toFixed(2)} ${UNITS[unit]}`;
}

/** 268435456 -> "256 MiB": for axes, whose numbers are round. */
function tickText(bytes) {
  return bytesText(bytes).replace(/\.(\d*?)0+ /, (_, digits) => (digits ? `.${digits} ` : " "));
}

/** As bytesText, with a sign in any case: what a difference is written as. */
function changeText(bytes) {
  return bytes > 0 ? `+${bytesText(bytes)}` : bytes < 0 ? bytesText(bytes) : "\u00b10 B";
}

function grouped(number) {
  return Math.round(number).toLocaleString("en-US");
}

/** Microseconds: 1500 -> "1.5 ms". */
function timeText(microseconds) {
  const [unit, by] = Math.abs(microseconds) < 1e3 ? ["\u00b5s", 1] : Math.abs(microseconds) < 1e6 ? ["ms", 1e3] : ["s", 1e6];
  return `${Number((microseconds / by).toPrecision(6))} ${unit}`;
}

/** "saved_activation" -> "saved activation". */
function words(name) {
  return name.replaceAll("_", " ");
}

/** An element with properties, and children that are elements or texts. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made)
      made[key] = value;
    else
      made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function drawing(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

const byId = (id) => document.getElementById(id);

const palette = new Map();  // to be cleared when light turns to dark

/** A colour of the style sheet, as it is now, light or dark. */
function color(name) {
  if (!palette.has(name))
    palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return palette.get(name);
}

/** Fits a canvas to its place on the screen; returns its context, in CSS pixels. */
function fit(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Strokes as a pattern: memory that nobody holds. */
function hatch(context) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const strokes = tile.getContext("2d");
  strokes.strokeStyle = color("hatch");
  strokes.beginPath();
  for (const shift of [-6, 0, 6]) {
    strokes.moveTo(shift, 6);
    strokes.lineTo(shift + 6, 0);
  }
  strokes.stroke();
  return context.createPattern(tile, "repeat");
}

/** Shows lines of text beside the mouse; no lines hide it. */
function showTip(event, lines) {
  const tip = byId("tip");
  tip.hidden = !lines;
  if (!lines) return;
  tip.replaceChildren(...lines.map((line) => element("div", {}, line)));
  const right = event.clientX + 16 + tip.offsetWidth > window.innerWidth;
  tip.style.left = `${right ? event.clientX - 12 - tip.offsetWidth : event.clientX + 16}px`;
  tip.style.top = `${Math.min(event.clientY + 12, window.innerHeight - tip.offsetHeight - 8)}px`;
}
